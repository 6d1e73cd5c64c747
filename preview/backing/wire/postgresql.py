"""PostgreSQL's first messages, read, and rewritten so that any user and database lead to the preview's own.

Source: PostgreSQL 17 documentation, chapters 53.2 (message flow) and 53.7 (message formats). Pure: no input or output.
"""

from __future__ import annotations

import struct

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
PROTOCOL_3 = 3
HEAD_BYTES = 8
# src/include/libpq/pqcomm.h, MAX_STARTUP_PACKET_LENGTH
MOST_BYTES = 10_000
NO_TLS = b"N"
ASKS_FOR_TLS = struct.pack("!II", HEAD_BYTES, SSL_REQUEST)
# PostgreSQL's appendix A.
# src/include/pg_config_manual.h, NAMEDATALEN - 1: the server cuts longer names.
_MOST_NAME_BYTES = 63
CANNOT_CONNECT, TOO_MANY_CONNECTIONS = "57P03", "53300"
_HEAD = struct.Struct("!II")


class NotPostgresql(Exception):
    """The client's first bytes are no start of a session; the message says what is wrong."""


def read_head(head: bytes) -> tuple[int, int]:
    """Return the number of bytes that follow, and the code: a protocol version or a request.

    Args:
        head: The first ``HEAD_BYTES`` bytes.

    Raises:
        NotPostgresql: The length is impossible.
    """
    size, code = _HEAD.unpack(head)
    if not HEAD_BYTES <= size <= MOST_BYTES:
        raise NotPostgresql(f"a first message of {size} bytes")
    return size - HEAD_BYTES, code


def with_head(code: int, body: bytes) -> bytes:
    """Return a whole first message."""
    return _HEAD.pack(HEAD_BYTES + len(body), code) + body


def rewrite_startup(code: int, body: bytes, name: str) -> bytes:
    """Return a client's startup message with the preview's own user and database, which have the same name.

    Replication is dropped; all other parameters (``application_name``, ``options``, encoding) are kept.

    Raises:
        NotPostgresql: The message is no startup message of protocol 3.
    """
    given = _parameters(code, body)
    kept = {key: value for key, value in given.items() if key not in (b"user", b"database", b"replication", b"")}
    own = name.encode("ascii")
    parameters = {b"user": own, b"database": own, **kept}
    said = b"".join(key + b"\0" + value + b"\0" for key, value in parameters.items()) + b"\0"
    return with_head(code, said)


def read_startup(code: int, body: bytes) -> tuple[str, str]:
    """Return the user and the database that a client's startup message names, cut as the server does.

    Raises:
        NotPostgresql: The message is no startup message of protocol 3, or names none.
    """
    given = _parameters(code, body)
    try:
        user = given.get(b"user", b"").decode("utf-8")
        database = given.get(b"database", b"").decode("utf-8") or user
    except UnicodeDecodeError as error:
        raise NotPostgresql("a name that is not text") from error
    if not user:
        raise NotPostgresql("a startup message without a user")
    return _cut(user), _cut(database)


def refusal(sentence: str, code: str = CANNOT_CONNECT) -> bytes:
    """Return an ErrorResponse that ends the session; drivers show its sentence."""
    fields = (("S", "FATAL"), ("V", "FATAL"), ("C", code), ("M", sentence))
    said = b"".join(kind.encode() + text.encode().replace(b"\0", b"") + b"\0" for kind, text in fields) + b"\0"
    return b"E" + struct.pack("!I", 4 + len(said)) + said


def _cut(name: str) -> str:
    return name.encode("utf-8")[:_MOST_NAME_BYTES].decode("utf-8", "ignore")


def _parameters(code: int, body: bytes) -> dict[bytes, bytes]:
    """Return the parameters of a startup message."""
    if code >> 16 != PROTOCOL_3:
        raise NotPostgresql(f"protocol {code >> 16}.{code & 0xFFFF}")
    words = body.split(b"\0")
    # Pairs of name and value, each ended by a zero; one more zero ends the list.
    if len(words) < 2 or words[-1] or words[-2] or len(words) % 2:
        raise NotPostgresql("an unterminated startup message")
    return dict(zip(words[:-2:2], words[1:-2:2], strict=True))
