"""Reads and copies SQLite files of a preview, which a running application may hold. See ``preview_answer``.

Everything in a file is hostile: its schema, its pages, its name. SQLite may be brought to run any code by it; the
sandbox holds then, and the answer is data for display.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from preview.data.confined.preview_answer import Refused, Unavailable, answer, shown
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120  isolated mode leaves it out
    from preview_answer import Refused, Unavailable, answer, shown

_BUSY_S = 3.0
_STATEMENT_S = 10.0
_COUNT_S = 1.0
_MOST_TABLES = 500
_ANSWER_BYTES = 1024 * 1024
# One value in memory.
_VALUE_BYTES = 64 * 1024 * 1024
# Steps of SQLite's machine between two looks at the clock, some 0.1 ms.
_STEPS = 10_000
_READING_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
     "database_list", "collation_list", "function_list", "compile_options", "encoding", "user_version",
     "schema_version", "page_count", "page_size", "freelist_count"}
)  # fmt: skip


def main(request: dict[str, Any]) -> object:
    """Carry out the request."""
    acts: dict[str, Callable[..., object]] = {"list": _list, "read": _read, "query": _query, "backup": _backup}
    return acts[request.pop("act")](**request)


def _list(files: list[str]) -> object:
    """Return the tables of each file, or why it has none."""
    found: list[object] = []
    for path in files:
        try:
            found.append({"tables": _tables(path)})
        except (Unavailable, Refused) as error:
            found.append({"problem": str(error)})
    return found


def _tables(path: str) -> list[object]:
    with Database(path) as database:
        until = time.monotonic() + _COUNT_S
        statement = (
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
            r"AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name"
        )
        names = [name for (name,) in database.run(statement).fetchmany(_MOST_TABLES)]
        return [[shown(name)[0], database.count(name, until)] for name in names]


def _read(file: str, table: str, offset: int, limit: int) -> object:
    with Database(file) as database:
        types = {row[1]: row[2] for row in database.run(f"PRAGMA table_info({quoted(table)})").fetchall()}
        if not types:
            raise Unavailable("There is no such table.")
        cursor = database.run(f"SELECT * FROM {quoted(table)} LIMIT ? OFFSET ?", (limit + 1, offset))  # noqa: S608
        return _result(database, cursor, limit, types)


def _query(file: str, statement: str, most_rows: int, seconds: float) -> object:
    with Database(file, seconds) as database:
        cursor = database.run(statement)
        if cursor.description is None:
            raise Refused("The statement returns no rows; only read-only statements are allowed here.")
        return _result(database, cursor, most_rows, {})


def _result(database: Database, cursor: sqlite3.Cursor, most_rows: int, types: dict[str, str]) -> object:
    """Return rows up to the limits of rows and bytes."""
    columns = [[shown(one[0])[0], shown(types.get(one[0], ""))[0]] for one in cursor.description]
    rows: list[list[str | None]] = []
    is_cut, has_more, size = False, False, 0
    with database.translated():
        for row in cursor:
            values = [shown(value) for value in row]
            size += len(json.dumps(values))
            if len(rows) == most_rows or size > _ANSWER_BYTES:
                is_cut = has_more = True
                break
            is_cut |= any(was_cut for _, was_cut in values)
            rows.append([text for text, _ in values])
    return {"columns": columns, "rows": rows, "is_cut": is_cut, "has_more": has_more}


def _backup(files: list[str], to: str, most_bytes: int) -> object:
    """Copy each file as it is at one moment into the folder, as ``0.db``, ``1.db`` …; return the problem of each."""
    found: list[str | None] = []
    for number, path in enumerate(files):
        try:
            with Database(path) as database:
                most_bytes -= database.copy(os.path.join(to, f"{number}.db"), most_bytes)  # noqa: PTH118
                found.append(None)
        except (Unavailable, Refused) as error:
            found.append(str(error))
    return found


class Database:
    """A file, opened for reading alone.

    Args:
        path: Absolute path.
        seconds: Time for each statement.
        is_copy: Whether nothing else has the file open, and it has no journal.
    """

    def __init__(self, path: str, seconds: float = _STATEMENT_S, *, is_copy: bool = False) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        with self.translated():
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                raise Unavailable("It is not a regular file.")
            self._connection = sqlite3.connect(
                _uri(path, is_copy=is_copy), uri=True, timeout=_BUSY_S, isolation_level=None
            )
        connection = self._connection
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _STEPS)
        for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
            self.run(f"PRAGMA {pragma}")
        connection.set_authorizer(_authorize)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Start one statement."""
        with self.translated():
            return self._connection.execute(statement, values)

    def count(self, table: str, until: float) -> int | None:
        """Count a table's rows; None if that takes too long or is not possible."""
        if time.monotonic() > until:
            return None
        self._deadline = until
        try:
            with self.translated():
                return int(self.run(f"SELECT count(*) FROM {quoted(table)}").fetchone()[0])  # noqa: S608
        except Refused:
            return None
        finally:
            self._deadline = time.monotonic() + self._seconds

    def copy(self, to: str, most_bytes: int) -> int:
        """Copy all pages under one lock; another process that writes would start a copy in steps again and again.

        Returns:
            The size, with what is not yet written to the file itself.
        """
        with self.translated():
            pages, page_bytes = (int(self.run(f"PRAGMA page_{one}").fetchone()[0]) for one in ("count", "size"))
        if pages * page_bytes > most_bytes:
            raise Unavailable("The SQLite files are too large for a snapshot.")
        until = time.monotonic() + _BUSY_S

        def look(status: int, _left: int, _all: int) -> None:
            if status != sqlite3.SQLITE_DONE and time.monotonic() > until:
                raise sqlite3.OperationalError("database is locked")

        with self.translated():
            copy = sqlite3.connect(to, isolation_level=None)
            try:
                self._connection.backup(copy, pages=-1, progress=look, sleep=0.05)
            finally:
                copy.close()
        return pages * page_bytes

    def translated(self) -> _Translated:
        """Translate errors of SQLite and of the system."""
        return _Translated()


class _Translated:
    """Translates errors inside of the context into ``Refused``, ``Unavailable``."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise Unavailable(f"The file cannot be read: {error.strerror}.") from error
        if not isinstance(error, sqlite3.Error | sqlite3.Warning | ValueError | OverflowError):
            return
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or str(error) == "database is locked":
            raise Unavailable(
                f"The application has locked the file for more than {_BUSY_S:g} s; end its transaction."
            ) from error
        if name in ("SQLITE_READONLY_ROLLBACK", "SQLITE_READONLY_RECOVERY"):
            raise Unavailable("A transaction was cut off; start the application, which repairs the file.") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")):
            raise Unavailable("The file is damaged, or is not an SQLite file.") from error
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY_")):
            raise Unavailable(f"The file cannot be read: {shown(str(error))[0]}.") from error
        if name == "SQLITE_INTERRUPT":
            raise Refused("The statement took too long.") from error
        if name == "SQLITE_READONLY" or name == "SQLITE_AUTH":
            raise Refused("Only read-only statements are allowed here.") from error
        if "one statement at a time" in str(error):
            raise Refused("Only one statement is allowed at a time.") from error
        raise Refused(f"SQLite: {shown(str(error))[0]}.") from error


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None) -> int:
    """Deny what would reach other files or change the connection; the file itself is open for reading alone."""
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH, sqlite3.SQLITE_TRANSACTION):
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _READING_PRAGMAS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _uri(path: str, *, is_copy: bool) -> str:
    """Return the URI of an absolute path, every byte escaped (https://www.sqlite.org/uri.html)."""
    escaped = "".join("/" if byte == 0x2F else f"%{byte:02x}" for byte in os.fsencode(path))
    return f"file://{escaped}?mode=ro{'&immutable=1' if is_copy else ''}"


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


if __name__ == "__main__":
    answer(main, seconds=25, late="The SQLite file was not read within 25 s.")
