"""Redis' first commands, rewritten so that any user and password are accepted.

A preview's server has one user, ``default``, without a password. Redis refuses ``AUTH secret`` then, as it knows of no
password; it accepts ``AUTH default secret``. So each login names that user.

Source: redis.io, "Redis serialization protocol specification", AUTH, HELLO. Pure: no input or output.
"""

from __future__ import annotations

from collections.abc import Sequence

# A password may be a token of a few KiB.
MOST_BYTES = 16 * 1024
# HELLO 3 AUTH user password SETNAME name, and what versions to come may add.
_MOST_WORDS = 32
_LOGINS = (b"AUTH", b"HELLO")
_USER = b"default"
_END = b"\r\n"
_MOST_DIGITS = 8


class _NoLogin(Exception):
    """The bytes are no command that logs in."""


def rewrite_logins(data: bytes) -> tuple[bytes, bytes]:
    """Return a client's first bytes, with the user ``default`` in the logins (AUTH, HELLO) that stand first.

    All other bytes stay as they are, well-formed or not: the preview's own server reads them.

    Returns:
        What is done, and the start of a login that needs more bytes; at most ``MOST_BYTES``, or empty.
    """
    done, at = bytearray(), 0
    while at < len(data):
        try:
            found = _read_login(data[at : at + MOST_BYTES])
        except _NoLogin:
            break
        if found is None:
            if len(data) - at >= MOST_BYTES:
                break
            return bytes(done), data[at:]
        words, size = found
        done += encode(_with_default_user(words))
        at += size
    return bytes(done) + data[at:], b""


def encode(words: Sequence[bytes]) -> bytes:
    """Return a command as an array of strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in words)


def refusal(sentence: str) -> bytes:
    """Return an error reply; drivers show its sentence."""
    said = "".join(one if one.isprintable() else " " for one in sentence)
    return b"-ERR " + said.encode("utf-8", "replace")[:512] + _END


def _with_default_user(words: Sequence[bytes]) -> list[bytes]:
    kept = list(words)
    if kept[0].upper() == b"AUTH":
        # AUTH password, AUTH user password; the server explains what is wrong with any other.
        return [kept[0], _USER, kept[-1]] if len(kept) in (2, 3) else kept
    # HELLO version, then options in any order: SETNAME name, AUTH user password
    at = 2
    while at < len(kept) and kept[at].upper() == b"SETNAME":
        at += 2
    if at + 2 < len(kept) and kept[at].upper() == b"AUTH":
        kept[at + 1] = _USER
    return kept


def _read_login(data: bytes) -> tuple[list[bytes], int] | None:
    """Return the words of the login that stands first, and its size in bytes; None if more bytes are needed."""
    head = _read_number(data, 0, b"*")
    if head is None:
        return None
    count, at = head
    if not 0 < count <= _MOST_WORDS:
        raise _NoLogin
    words: list[bytes] = []
    for _ in range(count):
        found = _read_number(data, at, b"$")
        if found is None:
            return None
        size, at = found
        end = at + size + len(_END)
        if end > MOST_BYTES or (not words and size not in map(len, _LOGINS)):
            raise _NoLogin
        if len(data) < end:
            return None
        if data[at + size : end] != _END:
            raise _NoLogin
        words.append(data[at : at + size])
        if words[0].upper() not in _LOGINS:
            raise _NoLogin
        at = end
    return words, at


def _read_number(data: bytes, at: int, kind: bytes) -> tuple[int, int] | None:
    """Return the number in the line at ``at``, and where the next line starts; None if more bytes are needed."""
    if data[at : at + 1] not in (b"", kind):
        raise _NoLogin
    longest = len(kind) + _MOST_DIGITS + len(_END)
    end = data.find(_END, at, at + longest)
    if end < 0:
        if len(data) - at >= longest:
            raise _NoLogin
        return None
    digits = data[at + 1 : end]
    if not digits.isdigit():
        raise _NoLogin
    return int(digits), end + len(_END)
