"""The proof of a password to PostgreSQL, which is not believed: its messages are limited, and must be as expected.

Source: PostgreSQL 17 documentation, chapters 53.2.1 (start-up) and 53.3 (SASL authentication).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable

import trio
from scramp import ScramClient, ScramException, ScramMechanism  # type: ignore[import-untyped]

Read = Callable[[int], Awaitable[bytes]]

_MECHANISM = "SCRAM-SHA-256"
_HEAD_BYTES = 5
# A message before the session begins has some hundred bytes, and there are four.
_MOST_BYTES, _MOST_MESSAGES = 16 * 1024, 16
_MOST_SAID = 200
# One proof takes 0.3 s at this number. A server's default is 4,096.
_MOST_ITERATIONS = 1_000_000
_ITERATIONS = re.compile(r"(?:\A|,)i=(\d{1,9})(?:,|\Z)", re.ASCII)
# Codes of a request ("R").
_ACCEPTED, _CLEAR, _MD5, _SASL, _CONTINUE, _FINAL = 0, 3, 5, 10, 11, 12


class Refused(Exception):
    """The server refuses a session or a statement; the message is its sentence."""


class Unreadable(Exception):
    """The server's answer is not of the protocol, or too long."""


async def prove(stream: trio.SocketStream, read: Read, user: str, password: str, *, is_private: bool = False) -> bytes:
    """Answer the server's requests after the first message of a session, until it accepts.

    Args:
        stream: Connection to the server.
        read: Reads a number of bytes from it.
        user: Role.
        password: Its password.
        is_private: Whether the password itself may be sent; see ``ServerAddress.is_private``.

    Returns:
        The messages that a client reads if no proof is asked for.

    Raises:
        Refused: The server does not accept, or wants the password itself on a connection that is not private.
        SessionEnded, Unreadable, trio.BrokenResourceError: There is no session.

    Cancellation: there is none.
    """
    requests = _Requests(read)
    code, said = await requests.next()
    if code == _CLEAR:
        if not is_private:
            raise Refused("it asks for the password in plain text, which needs sslmode=verify-full or verify-ca")
        await stream.send_all(_answer(password.encode() + b"\0"))
    elif code == _MD5:
        await stream.send_all(_answer(b"md5" + _md5(_md5(password.encode() + user.encode()) + said[:4]) + b"\0"))
    elif code == _SASL:
        await _prove_by_scram(stream, requests, said, password)
    if code != _ACCEPTED:
        code, said = await requests.next()
    if code != _ACCEPTED:
        raise Unreadable("it requires another authentication method")
    return requests.passed


def verifier(password: str) -> str:
    """Return what the server keeps of a password, so that no statement, and no log of statements, contains it."""
    salt, stored_key, server_key, iterations = ScramMechanism(_MECHANISM).make_auth_info(password)
    salt, stored_key, server_key = (b64encode(bytes(one)).decode() for one in (salt, stored_key, server_key))
    return f"{_MECHANISM}${int(iterations)}:{salt}${stored_key}:{server_key}"


def sentence(body: bytes) -> str:
    """Return the sentence of an error that the server answers with."""
    for part in body.split(b"\0"):
        if part[:1] == b"M":
            said = part[1 : 1 + _MOST_SAID].decode("utf-8", "replace")
            return "".join(one if one.isprintable() else " " for one in said)
    return "no reason was given"


class _Requests:
    """The server's requests, of limited size and number.

    Args:
        read: Reads a number of bytes.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._left = _MOST_MESSAGES
        # Messages for the client: the version of the protocol that the server has, and that it accepts.
        self.passed = b""

    async def next(self) -> tuple[int, bytes]:
        """Return the code and the content of the next request.

        Raises:
            Refused: It is an error.
            SessionEnded, Unreadable: It is none.

        Cancellation: what was read is lost.
        """
        while self._left > 0:
            self._left -= 1
            head = await self._read(_HEAD_BYTES)
            kind, size = head[:1], int.from_bytes(head[1:]) - 4
            if not 0 <= size <= _MOST_BYTES or kind not in (b"E", b"N", b"R", b"v"):
                raise Unreadable("not a response of PostgreSQL")
            body = await self._read(size)
            if kind == b"E":
                raise Refused(sentence(body))
            if kind == b"v":
                self.passed += head + body
            elif kind == b"R":
                code = int.from_bytes(body[:4]) if size >= 4 else -1
                self.passed += head + body if code == _ACCEPTED else b""
                return code, body[4:]
        raise Unreadable("too many messages")


async def _prove_by_scram(stream: trio.SocketStream, requests: _Requests, offered: bytes, password: str) -> None:
    if _MECHANISM.encode() not in offered.split(b"\0"):
        raise Unreadable("it requires another authentication method")
    # The server takes the name from the first message, and ignores this one.
    try:
        client = ScramClient([_MECHANISM], "preview", password)
    except ScramException as error:
        raise Refused("it requires SCRAM authentication, which this stored password does not support") from error
    first = client.get_client_first().encode()
    await stream.send_all(_answer(_MECHANISM.encode() + b"\0" + len(first).to_bytes(4) + first))
    try:
        client.set_server_first(await _expect(requests, _CONTINUE))
        final = await trio.to_thread.run_sync(client.get_client_final)
        await stream.send_all(_answer(final.encode()))
        client.set_server_final(await _expect(requests, _FINAL))
    except ScramException as error:
        raise Unreadable("the server failed to authenticate itself") from error


async def _expect(requests: _Requests, wanted: int) -> str:
    code, said = await requests.next()
    text = said.decode("ascii", "replace")
    found = _ITERATIONS.search(text)
    if code != wanted or (wanted == _CONTINUE and (found is None or int(found[1]) > _MOST_ITERATIONS)):
        raise Unreadable("the server did not authenticate itself")
    return text


def _answer(content: bytes) -> bytes:
    return b"p" + (4 + len(content)).to_bytes(4) + content


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).hexdigest().encode()  # noqa: S324  the protocol's
