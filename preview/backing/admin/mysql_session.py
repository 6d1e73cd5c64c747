"""A session with MariaDB, as its administrator or as a preview's user, which does not believe the server.

The server runs in a sandbox, and has run statements of strangers. What it answers is limited in size, and the caller
limits the time: a driver would store any answer, and waits again for each byte.

Source: MySQL's internals manual, "Text Protocol".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from preview.backing.admin.mysql_link import Link, log_in_to
from preview.backing.answers import MOST_READ_BYTES, Kept, TooLarge, as_hex, as_text
from preview.backing.interface import Column
from preview.backing.streams import Reader
from preview.backing.wire.mysql import (
    ERROR,
    HEAD_BYTES,
    OK,
    PLUGIN,
    Answer,
    NotMysql,
    frame,
    read_head,
)

Rows = Sequence[tuple[str | None, ...]]

# Of an answer without its rows.
_MOST_BYTES = 1024 * 1024
# Rows of the service's own statements: names of some hundred users and databases.
_MOST_ROWS = 10_000
_MOST_SAID = 200
# Largest packet 16 MiB, utf8mb4 (45), reserved.
_FIXED = (1 << 24).to_bytes(4, "little") + bytes([45]) + bytes(23)
# include/mysql_com.h: protocol 4.1, transactions. Without CLIENT_MULTI_STATEMENTS the server refuses several.
_CAPABILITIES = 0x200 | 0x2000
_QUERY, _END = b"\x03", 0xFE
_MOST_END_BYTES = 9
_MOST_COLUMNS = 4096
# Length-encoded integers: values up to this take one byte, others this many more.
_MOST_SHORT, _NULL = 250, 0xFB
_LONG = {0xFC: 2, 0xFD: 3, 0xFE: 8}
# Of a column, after its names: length of what follows, character set, size, type, flags.
_KIND = struct.Struct("<xH4xBH")
_UNSIGNED, _ENUM, _SET, _BINARY = 0x20, 0x100, 0x800, 63
_BIT, _FIRST_TEXT = 16, 249
_TYPES = {
    0: "decimal",
    1: "tinyint",
    2: "smallint",
    3: "int",
    4: "float",
    5: "double",
    7: "timestamp",
    8: "bigint",
    9: "mediumint",
    10: "date",
    11: "time",
    12: "datetime",
    13: "year",
    15: "varchar",
    16: "bit",
    245: "json",
    246: "decimal",
    247: "enum",
    248: "set",
    249: "text",
    250: "text",
    251: "text",
    252: "text",
    253: "varchar",
    254: "char",
    255: "geometry",
}
_INTEGERS = (1, 2, 3, 8, 9)
_BINARY_TYPES = {"text": "blob", "varchar": "varbinary", "char": "binary"}


class Refused(Exception):
    """The server refuses a statement; the message is its sentence."""


class Session:
    """One session, whose statements follow each other.

    Args:
        link: Connection to the server; closed by ``close``.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._stream = link.stream
        self._reader = Reader(link.stream)
        self._left = _MOST_BYTES

    def close(self) -> None:
        """Close the connection; a statement that runs may go on in the server."""
        self._stream.socket.close()

    async def log_in(self, user: str, password: str, database: str) -> None:
        """Begin the session.

        Raises:
            Refused: The server refuses.
            SessionEnded, NotMysql, ServerUnavailable, trio.BrokenResourceError: There is no session.

        Cancellation: there is none.
        """
        if self._link.greeting[0] == ERROR:
            raise Refused(_sentence(self._link.greeting))
        answer = Answer(_CAPABILITIES, _FIXED, PLUGIN, b"")
        self._stream, said = await log_in_to(self._link, answer, user, password, database)
        self._reader = Reader(self._stream)
        if said[0] == ERROR:
            raise Refused(_sentence(said))
        if said[0] != OK:
            raise NotMysql("it requires another authentication method")

    async def execute(self, statement: str) -> Rows:
        """Execute one statement of the service; return its rows as text.

        Raises:
            Refused: The server refuses; the session goes on.
            SessionEnded, NotMysql, trio.BrokenResourceError: The session has ended.

        Cancellation: the statement may have been executed; the session cannot be used any more.
        """
        kept = Kept(_MOST_ROWS)
        try:
            await self._answer(statement, kept)
        except TooLarge as error:
            raise NotMysql("a row that is too long") from error
        found = kept.result(())
        if found.is_cut:
            raise NotMysql("an answer that is too long")
        return found.rows

    async def fetch(self, statement: str, kept: Kept) -> Sequence[Column]:
        """Execute one statement, and keep its first rows; return its columns. No other statement may follow.

        Raises:
            Refused: The server refuses.
            TooLarge: The first row is too large.
            SessionEnded, NotMysql, trio.BrokenResourceError: The session has ended.

        Cancellation: the statement may have been executed.
        """
        return await self._answer(statement, kept, is_shown=True)

    async def _answer(self, statement: str, kept: Kept, *, is_shown: bool = False) -> Sequence[Column]:
        self._left = _MOST_BYTES
        said = _QUERY + statement.encode("utf-8", "replace")
        await self._stream.send_all(frame(0, said))
        content = await self._read_packet()
        if content[0] == OK:
            return ()
        # Any other answer (0xFB asks for a file of this machine) is the number of columns.
        count = content[0] if len(content) == 1 else int.from_bytes(content[1:], "little")
        if (len(content) == 1) != (content[0] <= _MOST_SHORT) or content[0] == _NULL or not 0 < count <= _MOST_COLUMNS:
            raise NotMysql("an unexpected response")
        fields = [await self._read_packet() for _ in range(count)]
        if not _is_end(await self._read_packet()):
            raise NotMysql("unterminated columns")
        read = [_read_field(one) for one in fields] if is_shown else []
        kept.shows = [as_hex if one.is_binary else as_text for one in read]
        await self._read_rows(count, kept)
        return [Column(one.name, one.type) for one in read]

    async def _read_rows(self, count: int, kept: Kept) -> None:
        left = MOST_READ_BYTES
        while not kept.is_full:
            size = int.from_bytes((await self._reader.read(HEAD_BYTES))[:3], "little")
            left -= HEAD_BYTES + size
            if size == 0:
                raise NotMysql("an empty packet")
            if left < 0:
                kept.stop()
                return
            first = await self._reader.read(1)
            if first[0] == ERROR:
                raise Refused(_sentence(first + await self._reader.read(size - 1)))
            if first[0] == _END and size < _MOST_END_BYTES:
                await self._reader.skip(size - 1)
                return
            await self._read_values(first, size - 1, count, kept)

    async def _read_values(self, first: bytes, left: int, count: int, kept: Kept) -> None:
        """Read a row whose first byte was read, and keep the start of each of its values."""
        for number in range(count):
            if number:
                left -= 1
                first = await self._reader.read(1) if left >= 0 else b"\0"
            if first[0] == _NULL:
                kept.add(None, 0)
                continue
            size = first[0]
            if size > _MOST_SHORT:
                wide = _LONG.get(size, 0)
                left -= wide
                size = int.from_bytes(await self._reader.read(wide), "little") if wide and left >= 0 else -1
            left -= size
            if left < 0 or size < 0:
                raise NotMysql("a row that is cut off")
            taken = kept.share(size)
            kept.add(await self._reader.read(taken), size)
            await self._reader.skip(size - taken)
        await self._reader.skip(left)
        kept.end_row()

    async def _read_packet(self) -> bytes:
        """Return the content of a packet, of at least one byte."""
        size, _ = read_head(await self._reader.read(HEAD_BYTES))
        self._left -= HEAD_BYTES + size
        if self._left < 0:
            raise NotMysql("an answer that is too long")
        content = await self._reader.read(size)
        if content[0] == ERROR:
            raise Refused(_sentence(content))
        return content


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    type: str
    is_binary: bool


def _read_field(content: bytes) -> _Field:
    """Read a column: catalog, schema, table, its own name there, name, its own name; then its kind."""
    words: list[bytes] = []
    at = 0
    for _ in range(6):
        size, at = content[at] if at < len(content) else 0, at + 1
        if size in (0xFC, 0xFD):
            size, at = int.from_bytes(content[at : at + _LONG[size]], "little"), at + _LONG[size]
        words.append(content[at : at + size])
        at += size
    if at + _KIND.size > len(content):
        raise NotMysql("a column that is cut off")
    charset, number, flags = _KIND.unpack_from(content, at)
    kind = "enum" if flags & _ENUM else "set" if flags & _SET else _TYPES.get(number, "")
    is_binary = charset == _BINARY and (number == _BIT or number >= _FIRST_TEXT)
    if is_binary:
        kind = _BINARY_TYPES.get(kind, kind)
    elif flags & _UNSIGNED and number in _INTEGERS:
        kind = f"{kind} unsigned"
    return _Field(words[4].decode("utf-8", "replace"), kind, is_binary)


def _is_end(content: bytes) -> bool:
    return content[0] == _END and len(content) < _MOST_END_BYTES


def _sentence(content: bytes) -> str:
    # Error, number (2), "#", state (5); without a state before the session
    at = 9 if content[3:4] == b"#" else 3
    said = content[at : at + _MOST_SAID].decode("utf-8", "replace")
    return "".join(one if one.isprintable() else " " for one in said)
