r"""Reads tables out of dumps: the text of ``pg_dump``, and of ``mariadb-dump``. See ``preview_compare``.

The text is not parsed as SQL. Only lines of certain forms count, so text in a function or a comment that looks like
them can distort what is shown of this preview, and nothing else.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preview.data.confined.preview_answer import MOST_CHARACTERS
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  isolated mode leaves it out
    from preview_answer import MOST_CHARACTERS

_MOST_TABLES = 2000

# A name, with its schema; quoted parts may have any characters.
_PG_TABLE = rb'((?:"(?:[^"\n]|"")*+"|[^"(\s])++)'
_CONNECT = re.compile(rb'\\connect (?:-reuse-previous=on )?("(?:[^"\n]|"")*+"|[^"\s]++)\n')
_PG_DATABASE = re.compile(r"dbname='((?:[^'\\]|\\.)*+)'")
_COPY = re.compile(rb"COPY " + _PG_TABLE + rb" \(([^\n]{0,100000})\) FROM stdin;\n")
_ALTER = re.compile(rb"ALTER TABLE (?:ONLY )?" + _PG_TABLE + rb"\n")
_PG_KEY = re.compile(rb"    ADD CONSTRAINT " + _PG_TABLE + rb" PRIMARY KEY \(([^\n]{1,10000})\);\n")
_PG_NAME = re.compile(rb'"((?:[^"]|"")*+)"|([^",.\s]++)')
_PG_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_PG_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

_CREATE = re.compile(rb"CREATE TABLE (`(?:[^`\n]|``)*+`) \(\n")
_COLUMN = re.compile(rb"  (`(?:[^`\n]|``)*+`) ")
_MY_KEY = re.compile(rb"  PRIMARY KEY \(([^)\n]{1,10000})\)[^\n]{0,100}\n")
_INSERT = re.compile(rb"INSERT INTO (`(?:[^`\n]|``)*+`)(?: \(([^)\n]{1,100000})\))? VALUES[ \n]")
_MY_NAME = re.compile(rb"`((?:[^`\n]|``)*+)`")
_ROW = re.compile(rb"\((?:[^'()]++|'(?:[^'\\]++|\\.)*+')*+\)", re.DOTALL)
_VALUE = re.compile(rb"(?:_binary )?('(?:[^'\\]++|\\.)*+')|([^,]++)", re.DOTALL)
_MY_ESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


class DumpedTable:
    """A table in a dump; see ``preview_tables.Table``."""

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        """Begin with no rows."""
        self.columns = columns
        self.key: Sequence[str] = ()
        self.count = 0
        self.size_bytes = 0
        self._path = path
        # Places in the file: offset and number of bytes.
        self._parts: list[tuple[int, int]] = []

    def add(self, offset: int, size: int, count: int) -> None:
        """Add rows that stand at this place in the file."""
        if self._parts and sum(self._parts[-1]) == offset:
            offset, size_before = self._parts.pop()
            self._parts.append((offset, size_before + size))
        else:
            self._parts.append((offset, size))
        self.count += count
        self.size_bytes += size

    def rows(self) -> Iterator[Hashable]:
        """Yield the rows as they are written."""
        with open(self._path, "rb") as file:  # noqa: PTH123  starts faster
            for offset, size in self._parts:
                file.seek(offset)
                left = size
                while left and (line := file.readline(left)):
                    left -= len(line)
                    yield from self._rows_of(line)

    def _rows_of(self, line: bytes) -> Iterator[bytes]:
        raise NotImplementedError

    def fields(self, row: Hashable) -> Sequence[Hashable]:
        """See ``Table``."""
        raise NotImplementedError

    def texts(self, row: Hashable) -> Sequence[str | None]:
        """See ``Table``."""
        raise NotImplementedError


class _PostgresqlTable(DumpedTable):
    def _rows_of(self, line: bytes) -> Iterator[bytes]:
        yield line[:-1]

    def fields(self, row: Any) -> Sequence[Hashable]:
        return tuple(row.split(b"\t"))

    def texts(self, row: Any) -> Sequence[str | None]:
        return [None if one == b"\\N" else _unescaped(one, _PG_ESCAPED) for one in row.split(b"\t")]


class _MysqlTable(DumpedTable):
    def _rows_of(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"("):
            yield line.rstrip(b"\n,;")
        else:
            start = _INSERT.match(line)
            yield from _ROW.findall(line, start.end() if start else 0)

    def fields(self, row: Any) -> Sequence[Hashable]:
        return tuple(text or other for text, other in _VALUE.findall(row[1:-1]))

    def texts(self, row: Any) -> Sequence[str | None]:
        return [
            _unescaped(text[1:-1], _MY_ESCAPED) if text else None if other == b"NULL" else _text(other)
            for text, other in _VALUE.findall(row[1:-1])
        ]


def _unescaped(value: bytes, escapes: dict[str, str]) -> str:
    return _PG_ESCAPE.sub(lambda match: escapes.get(match[1], match[1]), _text(value))


def _text(value: bytes) -> str:
    return value[: 2 * MOST_CHARACTERS].decode("utf-8", "replace")


def read_postgresql(path: str, look: Callable[[], None]) -> dict[str, DumpedTable]:
    """Return the tables of a dump by ``pg_dump``; with the database's name before theirs for ``pg_dumpall``.

    Args:
        path: The dump.
        look: Called now and then; raises if the time is over.
    """
    tables: dict[str, DumpedTable] = {}
    altered = b""
    database = ""
    with open(path, "rb") as file:  # noqa: PTH123  starts faster
        for line in file:
            if line.startswith(b"COPY ") and (found := _COPY.fullmatch(line)):
                table = _PostgresqlTable(path, _pg_names(found[2]))
                table.add(*_copied(file, look))
                if len(tables) < _MOST_TABLES:
                    tables[database + ".".join(_pg_names(found[1]))] = table
            elif line.startswith(b"\\connect ") and (found := _CONNECT.fullmatch(line)):
                # A dump by pg_dumpall has "postgres" besides the project's: always more than one.
                database = _pg_database(found[1]) + "."
            elif line.startswith(b"ALTER TABLE ") and (found := _ALTER.fullmatch(line)):
                altered = found[1]
            elif altered and (found := _PG_KEY.fullmatch(line)):
                name = database + ".".join(_pg_names(altered))
                if name in tables:
                    tables[name].key = _pg_names(found[2])
    return tables


def _copied(file: Any, look: Callable[[], None]) -> tuple[int, int, int]:
    """Skip the rows of one COPY; return their place, size and number."""
    offset = file.tell()
    end, count = offset, 0
    while (line := file.readline()) and line != b"\\.\n":
        end += len(line)
        count += 1
        if count % 65536 == 0:
            look()
    return offset, end - offset, count


def _pg_database(text: bytes) -> str:
    r"""Return the database of a ``\connect``: a name, or ``dbname='…'`` if it has unusual characters."""
    name = "".join(_pg_names(text))
    found = _PG_DATABASE.fullmatch(name)
    return name if found is None else _PG_ESCAPE.sub(r"\1", found[1])


def _pg_names(text: bytes) -> list[str]:
    return [_text(quoted.replace(b'""', b'"') or plain) for quoted, plain in _PG_NAME.findall(text)]


def read_mysql(path: str, look: Callable[[], None]) -> dict[str, DumpedTable]:
    """Return the tables of a dump by ``mariadb-dump``. Arguments as for ``read_postgresql``."""
    tables: dict[str, DumpedTable] = {}
    made: DumpedTable | None = None
    filled: DumpedTable | None = None
    columns: list[str] = []
    offset = 0
    with open(path, "rb") as file:  # noqa: PTH123  starts faster
        for number, line in enumerate(file):
            if number % 65536 == 0:
                look()
            if filled is not None and line.startswith(b"("):
                filled.add(offset, len(line), 1)
            elif line.startswith(b"INSERT INTO ") and (found := _INSERT.match(line)):
                filled = tables.get(_my_names(found[1])[0])
                if filled is not None and found[2]:
                    filled.columns = _my_names(found[2])
                if filled is not None and len(line) > found.end():
                    filled.add(offset, len(line), len(_ROW.findall(line, found.end())))
            elif found := _CREATE.fullmatch(line):
                columns, filled = [], None
                made = _MysqlTable(path, columns)
                if len(tables) < _MOST_TABLES:
                    tables[_my_names(found[1])[0]] = made
            elif made is not None and (found := _COLUMN.match(line)):
                columns.append(_my_names(found[1])[0])
            elif made is not None and (found := _MY_KEY.fullmatch(line)):
                made.key = _my_names(found[1])
            elif line.startswith(b")"):
                made = None
            offset += len(line)
    return tables


def _my_names(text: bytes) -> list[str]:
    return [_text(one.replace(b"``", b"`")) for one in _MY_NAME.findall(text)]
