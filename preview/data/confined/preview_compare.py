"""Compares two snapshots of a preview's data. See ``preview_answer``.

Everything in a snapshot is hostile. Time, memory and the size of the answer are bounded; what is over is left out.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import tarfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from preview.data.confined.preview_answer import Refused, Unavailable, answer, shown
    from preview.data.confined.preview_dumps import read_mysql, read_postgresql
    from preview.data.confined.preview_sqlite import Database, quoted
    from preview.data.confined.preview_tables import Comparer, Table, TimeUp
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  isolated mode leaves it out
    from preview_answer import Refused, Unavailable, answer, shown
    from preview_dumps import read_mysql, read_postgresql
    from preview_sqlite import Database, quoted
    from preview_tables import Comparer, Table, TimeUp

_MOST_FILES = 1000
_MOST_TABLES = 200
_MOST_DATABASES = 50
_ANSWER_BYTES = 2 * 1024 * 1024
_MOST_SQLITE_TABLES = 500
_SQLITE_S = 20.0
_CHUNK_BYTES = 1024 * 1024
_MAGIC = b"SQLite format 3\0"
_RDB_AUX = 0xFA


class _Answer:
    """The answer, within its bounds."""

    def __init__(self, seconds: float) -> None:
        self.comparer = Comparer(seconds)
        self.files: list[list[object]] = []
        self.databases: list[dict[str, object]] = []
        self._left_bytes = _ANSWER_BYTES

    def _fits(self, item: object) -> bool:
        """Count an item; return whether the answer has space for it."""
        self._left_bytes -= len(json.dumps(item)) + 1
        self.comparer.is_cut |= self._left_bytes < 0
        return self._left_bytes >= 0

    def add_file(self, path: str, change: str, before: int | None, after: int | None) -> None:
        """Add a file that differs."""
        item: list[object] = [path, change, before, after]
        if len(self.files) == _MOST_FILES:
            self.comparer.is_cut = True
        elif self._fits(item):
            self.files.append(item)

    def add_database(self, name: str, before: Mapping[str, Table], after: Mapping[str, Table]) -> None:
        """Compare all tables of a database."""
        tables: list[dict[str, object]] = []
        for table in sorted({*before, *after}):
            change = self.comparer.compare(table, before.get(table), after.get(table))
            if change is not None and len(tables) == _MOST_TABLES:
                self.comparer.is_cut = True
            elif change is not None and self._fits(change):
                tables.append(change)
        if tables:
            self._add(name, tables)

    def _add(self, name: str, tables: list[dict[str, object]]) -> None:
        if len(self.databases) == _MOST_DATABASES:
            self.comparer.is_cut = True
        elif self._fits(name):
            self.databases.append({"name": name, "tables": tables})

    def add_note(self, name: str, note: str) -> None:
        """Add a database whose tables cannot be compared."""
        empty = {"name": "", "added": 0, "changed": 0, "removed": 0, "samples": [], "note": note}
        self._add(name, [empty])


def main(request: dict[str, Any]) -> object:
    """Compare two folders of snapshots."""
    before, after, scratch = request["before"], request["after"], request["scratch"]
    found = _Answer(request["seconds"])
    steps: list[tuple[str, Callable[[], None]]] = [
        ("Files", lambda: _compare_files(found, f"{before}/files.tar", f"{after}/files.tar", scratch)),
        ("SQLite", lambda: _compare_files(found, f"{before}/database.tar", f"{after}/database.tar", scratch)),
        ("PostgreSQL", lambda: _compare_dumps(found, "PostgreSQL", before, after, read_postgresql)),
        ("MySQL", lambda: _compare_dumps(found, "MySQL", before, after, read_mysql)),
        ("Redis", lambda: _compare_redis(found, before, after)),
        ("MongoDB", lambda: _compare_mongodb(found, before, after)),
    ]
    for name, step in steps:
        try:
            step()
        except TimeUp:
            found.comparer.is_cut = True
            found.add_note(name, "It is not compared for lack of time.")
        except (OSError, MemoryError, tarfile.TarError, ValueError) as error:
            found.comparer.is_cut = True
            found.add_note(name, f"It cannot be compared: {type(error).__name__}.")
    return {"files": found.files, "databases": found.databases, "is_cut": found.comparer.is_cut}


def _compare_dumps(
    found: _Answer,
    name: str,
    before: str,
    after: str,
    read: Callable[[str, Callable[[], None]], Mapping[str, Table]],
) -> None:
    files = [f"{folder}/{name.lower()}.sql" for folder in (before, after)]
    tables = [read(file, found.comparer.look_at_clock) if _is_there(file) else {} for file in files]
    found.add_database(name, *tables)


# Files


def _compare_files(found: _Answer, before: str, after: str, scratch: str) -> None:
    with _opened(before) as old_file, _opened(after) as new_file:
        olds, news = (_entries(one, found.comparer.look_at_clock) for one in (old_file, new_file))
        for path in sorted({*olds, *news}):
            found.comparer.look_at_clock()
            old, new = olds.get(path), news.get(path)
            if old is not None and new is not None and _is_equal(old_file, old, new_file, new):
                continue
            if _is_sqlite(old_file, old) and _is_sqlite(new_file, new) and (old or new):
                _compare_sqlite(found, path, (old_file, old), (new_file, new), scratch)
                if old is not None and new is not None:
                    continue
            change = "added" if old is None else "removed" if new is None else "changed"
            found.add_file(path, change, None if old is None else old.size, None if new is None else new.size)


def _opened(path: str) -> BinaryIO:
    return open(path if _is_there(path) else os.devnull, "rb")  # noqa: PTH123  the caller closes it


def _is_there(path: str) -> bool:
    """Return whether there is such a file; raise ValueError for a pipe or a link."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ValueError("not a regular file")
    except FileNotFoundError:
        return False
    return True


def _entries(file: BinaryIO, look: Callable[[], None]) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return found
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        for number, one in enumerate(archive):
            if number % 1024 == 0:
                look()
            if not one.isdir():
                found[one.name] = one
    return found


def _is_equal(old_file: BinaryIO, old: tarfile.TarInfo, new_file: BinaryIO, new: tarfile.TarInfo) -> bool:
    if (old.size, old.type, old.mode, old.linkname) != (new.size, new.type, new.mode, new.linkname):
        return False
    return all(one == other for one, other in zip(_content(old_file, old), _content(new_file, new), strict=False))


def _content(file: BinaryIO, info: tarfile.TarInfo) -> Iterator[bytes]:
    done = 0
    while done < info.size:
        file.seek(info.offset_data + done)
        chunk = file.read(min(_CHUNK_BYTES, info.size - done))
        if not chunk:
            return
        yield chunk
        done += len(chunk)


def _is_sqlite(file: BinaryIO, info: tarfile.TarInfo | None) -> bool:
    """Return whether it is a SQLite file, or there is none to compare."""
    return info is None or next(_content(file, info), b"").startswith(_MAGIC)


# SQLite


class _SqliteTable:
    """See ``preview_tables.Table``."""

    def __init__(self, database: Database, name: str, size_bytes: int) -> None:
        """Read the columns, and count the rows."""
        columns = database.run(f"PRAGMA table_info({quoted(name)})").fetchall()
        self.columns: Sequence[str] = [str(one[1]) for one in columns]
        self.key: Sequence[str] = [str(name) for _, name in sorted((one[5], one[1]) for one in columns if one[5])]
        self.count = database.count(name, time.monotonic() + 2) or 0
        self.size_bytes = size_bytes
        self._database = database
        self._select = f"SELECT {', '.join(map(quoted, self.columns)) or '1'} FROM {quoted(name)}"  # noqa: S608

    def rows(self) -> Iterator[Hashable]:
        """See ``Table``."""
        with self._database.translated():
            yield from self._database.run(self._select)

    def fields(self, row: Any) -> Sequence[Hashable]:
        """See ``Table``."""
        return tuple(row)

    def texts(self, row: Any) -> Sequence[str | None]:
        """See ``Table``."""
        return [shown(value)[0] for value in row]


def _compare_sqlite(
    found: _Answer,
    path: str,
    old: tuple[BinaryIO, tarfile.TarInfo | None],
    new: tuple[BinaryIO, tarfile.TarInfo | None],
    scratch: str,
) -> None:
    name = f"SQLite {path}"
    opened: list[Database] = []
    try:
        tables: list[Mapping[str, Table]] = []
        for place, (file, info) in (("before.db", old), ("after.db", new)):
            if info is None:
                tables.append({})
                continue
            copy = f"{scratch}/{place}"
            with open(copy, "wb") as extracted:  # noqa: PTH123
                extracted.writelines(_content(file, info))
            opened.append(Database(copy, _SQLITE_S, is_copy=True))
            tables.append(_sqlite_tables(opened[-1], info.size, found.comparer.look_at_clock))
        found.add_database(name, *tables)
    except (Unavailable, Refused) as error:
        found.add_note(name, str(error))
    finally:
        for one in opened:
            one.__exit__()


def _sqlite_tables(database: Database, size_bytes: int, look: Callable[[], None]) -> dict[str, Table]:
    """Return the tables of a file; its size stands for that of each."""
    statement = (
        r"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' "
        "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    )
    names = [str(name) for (name,) in database.run(statement).fetchmany(_MOST_SQLITE_TABLES)]
    tables: dict[str, Table] = {}
    for name in names:
        look()
        tables[name] = _SqliteTable(database, name, size_bytes)
    return tables


# Redis


def _compare_redis(found: _Answer, before: str, after: str) -> None:
    contents = []
    for folder in (before, after):
        with _opened(f"{folder}/redis.rdb") as file:
            contents.append(_without_head(file.read()))
    if contents[0] != contents[1]:
        found.add_note("Redis", "The stored keys or their order differ; they were not compared one by one.")


def _compare_mongodb(found: _Answer, before: str, after: str) -> None:
    contents = []
    for folder in (before, after):
        with _opened(f"{folder}/mongodb.bson") as file:
            contents.append(file.read())
    if contents[0] != contents[1]:
        found.add_note("MongoDB", "The documents or their order differ; they were not compared one by one.")


def _without_head(data: bytes) -> bytes:
    """Return a dump without its version, notes (time, memory) and checksum, which differ each time."""
    place = 9
    while place < len(data) and data[place] == _RDB_AUX:
        for _ in range(2):
            place = _after_string(data, place if data[place] != _RDB_AUX else place + 1)
    return data[place:-8]


def _after_string(data: bytes, place: int) -> int:
    """Return the place after a string (Redis, rdb.c: rdbLoadStringObject)."""
    kind = data[place] >> 6 if place < len(data) else 0
    if kind == 0:
        return place + 1 + (data[place] & 0x3F if place < len(data) else 0)
    if kind == 1:
        return place + 2 + int.from_bytes(bytes([data[place] & 0x3F, *data[place + 1 : place + 2]]), "big")
    if kind == 3:
        return place + 1 + (1, 2, 4, 0)[data[place] & 3]
    return place + 5 + int.from_bytes(data[place + 1 : place + 5], "big")


if __name__ == "__main__":
    answer(main, seconds=25, late="The snapshots were not compared within 25 s.")
