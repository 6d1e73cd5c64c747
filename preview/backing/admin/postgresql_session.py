"""A session with PostgreSQL, as its administrator or as a preview's role, which does not believe the server.

The server runs in a sandbox, and has run statements of strangers. What it answers is limited in size, and the caller
limits the time: a driver would wait for an answer, and store it, without a limit.

Source: PostgreSQL 17 documentation, chapters 53.2 (message flow) and 53.7 (message formats).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from preview.backing.admin.postgresql_proof import Refused, Unreadable, prove, sentence
from preview.backing.answers import MOST_READ_BYTES, Kept
from preview.backing.streams import Reader

Rows = list[tuple[str | None, ...]]

# Names of some hundred databases and roles are 30 KB.
_MOST_BYTES = 1024 * 1024
_HEAD = struct.Struct("!cI")
_PROTOCOL = 3 << 16
# Of a column: table, number in it, type, size of the type, modifier, format.
_FIELD = struct.Struct("!6xI2xi2x")
# The statement's name: a simple statement between ends one without a name.
_STATEMENT = "preview"
# Answers that begin a COPY.
_COPIES = (b"G", b"H", b"W")
_UTF8 = "utf-8"


@dataclass(frozen=True, slots=True)
class Field:
    """A column of an answer.

    Attributes:
        type_number: Its type's number (``pg_type.oid``).
        modifier: The type's modifier, such as a length; -1 if there is none.
    """

    name: str
    type_number: int
    modifier: int


class Session:
    """One session, whose statements follow each other.

    Args:
        stream: Connection to the server; closed by ``close``.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reader = Reader(stream)

    def close(self) -> None:
        """Close the connection; a statement that runs may go on in the server."""
        self._stream.socket.close()

    async def log_in(self, user: str, password: str, database: str, options: str, *, is_private: bool = False) -> None:
        """Begin the session.

        Args:
            user: Role.
            password: Its password.
            database: Database.
            options: Settings as command line options: ``-c lock_timeout=1s``.
            is_private: See ``prove``.

        Raises:
            Refused: The server refuses.
            SessionEnded, Unreadable, trio.BrokenResourceError: There is no session.

        Cancellation: there is none.
        """
        pairs = ("user", user, "database", database, "options", options)
        said = struct.pack("!I", _PROTOCOL) + b"".join(one.encode(_UTF8) + b"\0" for one in pairs) + b"\0"
        await self._stream.send_all(struct.pack("!I", 4 + len(said)) + said)
        await prove(self._stream, self._reader.read, user, password, is_private=is_private)
        await self._read_answer(is_first=True)

    async def execute(self, statement: str) -> Rows:
        """Execute one statement; return its rows as text.

        Raises:
            Refused: The server refuses; the session goes on.
            SessionEnded, Unreadable, trio.BrokenResourceError: The session has ended.

        Cancellation: the statement may have been executed; the session cannot be used any more.
        """
        await self._stream.send_all(_message(b"Q", _text(statement)))
        return await self._read_answer()

    async def prepare(self, statement: str) -> Sequence[Field] | None:
        """Prepare one statement, which ``fetch`` executes; several are refused.

        Returns:
            The columns of its answer; None if it returns no rows.

        Raises:
            Refused: The server refuses; the session goes on.
            SessionEnded, Unreadable, trio.BrokenResourceError: The session has ended.

        Cancellation: the session cannot be used any more.
        """
        named = _text(_STATEMENT)
        asked = _message(b"P", named + _text(statement) + bytes(2)) + _message(b"D", b"S" + named) + _message(b"S")
        await self._stream.send_all(asked)
        fields: Sequence[Field] | None = None
        refused: str | None = None
        left = _MOST_BYTES
        while True:
            kind, size = await self._read_head()
            left -= size
            if left < 0:
                raise Unreadable("an answer that is too long")
            body = await self._reader.read(size)
            if kind == b"Z":
                break
            if kind == b"E":
                refused = sentence(body)
            elif kind == b"T":
                fields = _read_fields(body)
        if refused is not None:
            raise Refused(refused)
        return fields

    async def fetch(self, kept: Kept) -> None:
        """Execute the prepared statement, and keep its first rows. No other statement may follow.

        Raises:
            Refused: The server refuses.
            TooLarge: The first row is too large.
            SessionEnded, Unreadable, trio.BrokenResourceError: The session has ended.

        Cancellation: the statement may have been executed.
        """
        bound = _message(b"B", b"\0" + _text(_STATEMENT) + bytes(6))
        executed = _message(b"E", b"\0" + (kept.most_rows + 1).to_bytes(4))
        await self._stream.send_all(bound + executed + _message(b"S"))
        left = MOST_READ_BYTES
        while not kept.is_full:
            kind, size = await self._read_head()
            left -= _HEAD.size + size
            if left < 0:
                kept.stop()
            elif kind == b"D":
                await self._read_values(size, kept)
            elif kind in _COPIES:
                raise Refused("COPY is not allowed here")
            else:
                body = await self._reader.read(size)
                if kind == b"E":
                    raise Refused(sentence(body))
                if kind == b"Z":
                    break

    async def _read_head(self) -> tuple[bytes, int]:
        kind, size = _HEAD.unpack(await self._reader.read(_HEAD.size))
        if size < 4:
            raise Unreadable("a message without a size")
        return kind, size - 4

    async def _read_values(self, size: int, kept: Kept) -> None:
        """Read a row, and keep the start of each of its values."""
        count = int.from_bytes(await self._reader.read(2))
        left = size - 2
        for _ in range(count):
            length = int.from_bytes(await self._reader.read(4), signed=True)
            left -= 4 + max(length, 0)
            if left < 0:
                raise Unreadable("a row that is cut off")
            if length < 0:
                kept.add(None, 0)
                continue
            taken = kept.share(length)
            kept.add(await self._reader.read(taken), length)
            await self._reader.skip(length - taken)
        await self._reader.skip(left)
        kept.end_row()

    async def _read_answer(self, *, is_first: bool = False) -> Rows:
        """Read messages until the server is ready for the next statement."""
        rows: Rows = []
        refused: str | None = None
        left = _MOST_BYTES
        while True:
            kind, size = await self._read_head()
            left -= _HEAD.size + size
            if left < 0:
                raise Unreadable("an answer that is too long")
            body = await self._reader.read(size)
            if kind == b"Z":
                break
            if kind == b"E":
                refused = sentence(body)
                if is_first:
                    break
            elif kind == b"D":
                rows.append(tuple(_read_row(body)))
            elif kind == b"R":
                raise Unreadable("it requests authentication a second time")
        if refused is not None:
            raise Refused(refused)
        return rows


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return _HEAD.pack(kind, 4 + len(body)) + body


def _text(text: str) -> bytes:
    return text.encode(_UTF8, "replace").replace(b"\0", b"") + b"\0"


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


def _read_fields(body: bytes) -> Sequence[Field]:
    fields: list[Field] = []
    at = 2
    for _ in range(int.from_bytes(body[:2])):
        end = body.find(b"\0", at)
        if end < 0 or end + 1 + _FIELD.size > len(body):
            raise Unreadable("a column that is cut off")
        number, modifier = _FIELD.unpack_from(body, end + 1)
        fields.append(Field(body[at:end].decode(_UTF8, "replace"), number, modifier))
        at = end + 1 + _FIELD.size
    return fields
