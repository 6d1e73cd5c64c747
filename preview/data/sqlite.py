"""Find SQLite files of a preview, and have a confined program read or copy them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preview.backing import Column, QueryResult, TableSummary
from preview.core.quoting import quoted
from preview.data.answers import call_confined, count_of, field, list_of, malformed, pair_of, sentence_of, text_of
from preview.data.client import RunConfined
from preview.data.confined import SQLITE
from preview.data.walk import FOLDER, open_file, walk_folder
from preview.errors import DataUnavailable

# https://www.sqlite.org/fileformat.html, section 1.3
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_MOST_TABLES = 500
_MOST_COLUMNS = 2000
_STATEMENT_S = 10.0


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A SQLite file, by its first bytes.

    Attributes:
        path: Path relative to the folder.
        size_bytes: Size of the file alone, without its journal.
    """

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SqliteTables:
    """Tables and views of one file.

    Attributes:
        path: The file's path, relative to the folder.
        tables: Tables; none if there is a problem.
        problem: Reason why it cannot be read, a sentence; None if it was.
    """

    path: str
    tables: tuple[TableSummary, ...] = ()
    problem: str | None = None


def find_sqlite_files(folder: Path, *, most_files: int, most: int = 20) -> tuple[SqliteFile, ...]:
    """Return the first SQLite files of a folder, in order of paths, while hostile code may run in it.

    Files that ``save_tree`` leaves out are not found, nor those whose path is no UTF-8. Blocks: call in a thread.

    Args:
        folder: The project's folder, or the folder of the preview's own database.
        most_files: Maximum number of names in the folder.
        most: Maximum number of files that are returned.

    Raises:
        DataUnavailable: The folder has more names, or cannot be read.
    """
    found: list[SqliteFile] = []
    try:
        root = os.open(folder, FOLDER)
    except OSError as error:
        raise DataUnavailable(f"The preview's folder cannot be opened: {error.strerror or error}.") from error
    try:
        for one in walk_folder(root, most=most_files):
            if not stat.S_ISREG(one.status.st_mode) or one.status.st_size < _HEADER_BYTES or not _is_text(one.path):
                continue
            with open_file(one) as descriptor:
                if descriptor is not None and _has_magic(descriptor):
                    found.append(SqliteFile(one.path, one.status.st_size))
            if len(found) == most:
                break
    finally:
        os.close(root)
    return tuple(found)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_magic(descriptor: int) -> bool:
    try:
        return os.read(descriptor, len(_MAGIC)) == _MAGIC
    except OSError:
        return False


async def list_tables(folder: Path, paths: Sequence[str], run: RunConfined) -> tuple[SqliteTables, ...]:
    """Return the tables of each file; one program reads all of them.

    Args:
        folder: The folder that ``find_sqlite_files`` has searched.
        paths: Paths of the files.
        run: Runs the program, which may write the folder: a reader of SQLite takes locks in files beside.

    Raises:
        DataUnavailable: The program failed.

    Cancellation: the program is ended.
    """
    if not paths:
        return ()
    answer = await call_confined(SQLITE, {"act": "list", "files": _absolute(folder, paths)}, run, writable=(folder,))
    found = list_of(answer, len(paths))
    if len(found) != len(paths):
        raise malformed()
    return tuple(_tables(path, one) for path, one in zip(paths, found, strict=True))


def _tables(path: str, answer: object) -> SqliteTables:
    problem = field(answer, "problem")
    if problem is not None:
        return SqliteTables(path, problem=sentence_of(problem))
    tables = []
    for one in list_of(field(answer, "tables"), _MOST_TABLES):
        name, rows = pair_of(one)
        tables.append(TableSummary(text_of(name), None if rows is None else count_of(rows)))
    return SqliteTables(path, tuple(tables))


async def read_table(folder: Path, path: str, table: str, *, offset: int, limit: int, run: RunConfined) -> QueryResult:
    """Return some rows of a table or view, in SQLite's own order.

    Args:
        folder: See ``list_tables``.
        path: Path of the file.
        table: Name of the table.
        offset: Number of rows to skip.
        limit: Maximum number of rows.
        run: See ``list_tables``.

    Raises:
        DataUnavailable: There is no such table, or the file cannot be read.

    Cancellation: the program is ended.
    """
    (file,) = _absolute(folder, [path])
    request = {"act": "read", "file": file, "table": table, "offset": offset, "limit": limit}
    return _result(await call_confined(SQLITE, request, run, writable=(folder,)), limit)


async def query(folder: Path, path: str, statement: str, *, most_rows: int, run: RunConfined) -> QueryResult:
    """Return the rows of one statement, which cannot change the file, within 10 s and 1 MiB.

    Args:
        folder: See ``list_tables``.
        path: Path of the file.
        statement: One statement of SQL.
        most_rows: Maximum number of rows.
        run: See ``list_tables``.

    Raises:
        QueryRefused: SQLite refuses the statement.
        DataUnavailable: The file cannot be read.

    Cancellation: the program is ended.
    """
    (file,) = _absolute(folder, [path])
    request = {"act": "query", "file": file, "statement": statement, "most_rows": most_rows, "seconds": _STATEMENT_S}
    return _result(await call_confined(SQLITE, request, run, writable=(folder,)), most_rows)


async def backup(
    folder: Path, paths: Sequence[str], to: Path, run: RunConfined, *, most_bytes: int
) -> Mapping[str, Path]:
    """Copy each file as it is at one moment, while the application may write to it.

    Args:
        folder: See ``list_tables``.
        paths: Paths of the files.
        to: An empty folder that the program may write.
        run: See ``list_tables``.
        most_bytes: Maximum size of all copies.

    Returns:
        The copy of each file, by the file's path. The copies are hostile too; see ``add_copy``.

    Raises:
        DataUnavailable: A file is locked for too long, damaged or too large; the sentence names it.

    Cancellation: the program is ended; copies may be left in ``to``.
    """
    if not paths:
        return {}
    request = {"act": "backup", "files": _absolute(folder, paths), "to": str(to), "most_bytes": most_bytes}
    problems = list_of(await call_confined(SQLITE, request, run, writable=(folder, to)), len(paths))
    if len(problems) != len(paths):
        raise malformed()
    for path, problem in zip(paths, problems, strict=True):
        if problem is not None:
            raise DataUnavailable(f"{quoted(path)} cannot be saved. {sentence_of(problem)}")
    return {path: to / f"{number}.db" for number, path in enumerate(paths)}


def _absolute(folder: Path, paths: Sequence[str]) -> list[str]:
    return [str(folder / path) for path in paths]


def _result(answer: object, most_rows: int) -> QueryResult:
    columns = []
    for one in list_of(field(answer, "columns"), _MOST_COLUMNS):
        name, kind = pair_of(one)
        columns.append(Column(text_of(name), text_of(kind)))
    rows = []
    for row in list_of(field(answer, "rows"), most_rows):
        values = list_of(row, len(columns))
        if len(values) != len(columns):
            raise malformed()
        rows.append(tuple(None if value is None else text_of(value) for value in values))
    is_cut, has_more = (field(answer, name) is True for name in ("is_cut", "has_more"))
    return QueryResult(tuple(columns), tuple(rows), is_cut, has_more)
