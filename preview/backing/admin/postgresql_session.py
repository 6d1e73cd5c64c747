"""A session with PostgreSQL as its administrator, which does not believe the server.

The server runs in a sandbox, and has run statements of strangers. What it answers is limited in size, and the caller
limits the time: a driver would wait for an answer, and store it, without a limit.

Source: PostgreSQL 17 documentation, chapters 53.2 (message flow) and 53.7 (message formats).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import trio

from preview.backing.streams import read_exactly

Rows = list[tuple[str | None, ...]]

# Names of some hundred databases and roles are 30 KB.
_MOST_BYTES = 1024 * 1024
_MOST_SAID = 200
_HEAD = struct.Struct("!cI")
_PROTOCOL = 3 << 16
_AUTHENTICATED, _PASSWORD = 0, 3
_UTF8 = "utf-8"


class Refused(Exception):
    """The server refuses a statement; the message is its sentence."""


class Unreadable(Exception):
    """The server's answer is not of the protocol, or too long."""


class Session:
    """One session, whose statements follow each other.

    Args:
        stream: Connection to the server; closed by ``close``.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    def close(self) -> None:
        """Close the connection; a statement that runs may go on in the server."""
        self._stream.socket.close()

    async def log_in(self, user: str, password: str, database: str, options: str) -> None:
        """Begin the session.

        Args:
            user: Role.
            password: Its password.
            database: Database.
            options: Settings as command line options: ``-c lock_timeout=1s``.

        Raises:
            Refused: The server refuses.
            SessionEnded, Unreadable, trio.BrokenResourceError: There is no session.

        Cancellation: there is none.
        """
        pairs = ("user", user, "database", database, "options", options)
        said = struct.pack("!I", _PROTOCOL) + b"".join(one.encode(_UTF8) + b"\0" for one in pairs) + b"\0"
        await self._stream.send_all(struct.pack("!I", 4 + len(said)) + said)
        await self._read_answer(password)

    async def execute(self, statement: str) -> Rows:
        """Execute one statement; return its rows as text.

        Raises:
            Refused: The server refuses; the session goes on.
            SessionEnded, Unreadable, trio.BrokenResourceError: The session has ended.

        Cancellation: the statement may have been executed; the session cannot be used any more.
        """
        await self._send(b"Q", statement)
        return await self._read_answer(None)

    async def _send(self, kind: bytes, text: str) -> None:
        said = text.encode(_UTF8) + b"\0"
        await self._stream.send_all(_HEAD.pack(kind, 4 + len(said)) + said)

    async def _read_answer(self, password: str | None) -> Rows:
        """Read messages until the server is ready for the next statement."""
        rows: Rows = []
        refused: str | None = None
        left = _MOST_BYTES
        while True:
            kind, size = _HEAD.unpack(await read_exactly(self._stream, _HEAD.size))
            left -= _HEAD.size + size
            if size < 4 or left < 0:
                raise Unreadable("an answer that is too long")
            body = await read_exactly(self._stream, size - 4)
            if kind == b"Z":
                break
            if kind == b"E":
                refused = _sentence(body)
                if password is not None:
                    break
            elif kind == b"D":
                rows.append(tuple(_read_row(body)))
            elif kind == b"R" and int.from_bytes(body[:4]) != _AUTHENTICATED:
                if password is None or int.from_bytes(body[:4]) != _PASSWORD:
                    raise Unreadable("another proof is asked for")
                await self._send(b"p", password)
        if refused is not None:
            raise Refused(refused)
        return rows


def quote_name(name: str) -> str:
    """Return a name as it is written in a statement."""
    return '"' + name.replace('"', '""').replace("\0", "") + '"'


def quote_text(text: str) -> str:
    """Return a string as it is written in a statement (``standard_conforming_strings``)."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"


def _read_row(body: bytes) -> Sequence[str | None]:
    values: list[str | None] = []
    at = 2
    for _ in range(int.from_bytes(body[:2])):
        size = int.from_bytes(body[at : at + 4], signed=True)
        at += 4
        if at + max(size, 0) > len(body):
            raise Unreadable("a row that is cut off")
        values.append(body[at : at + size].decode(_UTF8, "replace") if size >= 0 else None)
        at += max(size, 0)
    return values


def _sentence(body: bytes) -> str:
    for field in body.split(b"\0"):
        if field[:1] == b"M":
            said = field[1 : 1 + _MOST_SAID].decode(_UTF8, "replace")
            return "".join(one if one.isprintable() else " " for one in said)
    return "it does not say why"
