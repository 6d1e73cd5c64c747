"""Compare two snapshots of previews' data, by a confined program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from preview.data.answers import call_confined, count_of, field, list_of, malformed, text_of
from preview.data.client import RunConfined
from preview.data.confined import COMPARE

# The program answers with fewer; see there.
_MOST_FILES, _MOST_DATABASES, _MOST_TABLES, _MOST_SAMPLES = 1000, 60, 200, 9
_MOST_COLUMNS = 50
_COMPARE_S = 20.0

Change = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file or link that differs.

    Attributes:
        path: Path in the project.
        change: Kind of change.
        size_before: Size in bytes; None if it did not exist.
        size_after: Size in bytes; None if it does not exist any more.
    """

    path: str
    change: Change
    size_before: int | None
    size_after: int | None


@dataclass(frozen=True, slots=True)
class RowSample:
    """An example of a changed row: its values as text, long ones cut, None for NULL.

    Attributes:
        change: Kind of change.
        before: The row before; None if it was added.
        after: The row after; None if it was removed.
    """

    change: Change
    before: Mapping[str, str | None] | None
    after: Mapping[str, str | None] | None


@dataclass(frozen=True, slots=True)
class TableChange:
    """A table whose rows differ.

    Attributes:
        name: Name of the table; empty if the tables of the database could not be compared.
        added: Number of new rows.
        changed: Number of rows with the same primary key and other values; 0 without a primary key.
        removed: Number of rows that are gone.
        samples: Up to three rows of each kind of change.
        note: Sentence about what was not compared, or about the table itself.
    """

    name: str
    added: int
    changed: int
    removed: int
    samples: tuple[RowSample, ...]
    note: str | None


@dataclass(frozen=True, slots=True)
class DatabaseChange:
    """A database that differs.

    Attributes:
        name: ``PostgreSQL``, ``MySQL``, ``Redis``, or ``SQLite`` with the file's path.
        tables: Tables that differ.
    """

    name: str
    tables: tuple[TableChange, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences of two snapshots.

    Attributes:
        files: Files and links that differ, without SQLite files that both have.
        databases: Databases that differ.
        is_cut: Whether something was left out, for want of time or space.
    """

    files: tuple[FileChange, ...]
    databases: tuple[DatabaseChange, ...]
    is_cut: bool


async def compare(before: Path, after: Path, run: RunConfined, scratch: Path) -> Comparison:
    """Compare two folders of snapshots: files, tables and rows.

    Args:
        before: Folder with ``files.tar`` (the project), ``database.tar`` (the folder of the preview's own SQLite file),
            ``postgresql.sql``, ``mysql.sql`` and ``redis.rdb``, each if there is one. The program's user must be able
            to read the folder and its files.
        after: The other folder.
        run: Runs the program.
        scratch: An empty folder that the program may write. SQLite files are unpacked there.

    Raises:
        DataUnavailable: The program failed.

    Cancellation: the program is ended; files may be left in ``scratch``.
    """
    request = {"before": str(before), "after": str(after), "scratch": str(scratch), "seconds": _COMPARE_S}
    answer = await call_confined(COMPARE, request, run, writable=(scratch,), readable=(before, after))
    return Comparison(
        tuple(map(_file, list_of(field(answer, "files"), _MOST_FILES))),
        tuple(map(_database, list_of(field(answer, "databases"), _MOST_DATABASES))),
        field(answer, "is_cut") is True,
    )


def _file(answer: object) -> FileChange:
    parts = list_of(answer, 4)
    if len(parts) != len(FileChange.__slots__):
        raise malformed()
    path, change, before, after = parts
    return FileChange(text_of(path), _change(change), _size(before), _size(after))


def _size(answer: object) -> int | None:
    return None if answer is None else count_of(answer)


def _change(answer: object) -> Change:
    for one in get_args(Change):
        if answer == one:
            return one  # type: ignore[no-any-return]
    raise malformed()


def _database(answer: object) -> DatabaseChange:
    tables = tuple(map(_table, list_of(field(answer, "tables"), _MOST_TABLES)))
    return DatabaseChange(text_of(field(answer, "name")), tables)


def _table(answer: object) -> TableChange:
    note = field(answer, "note")
    return TableChange(
        text_of(field(answer, "name")),
        count_of(field(answer, "added")),
        count_of(field(answer, "changed")),
        count_of(field(answer, "removed")),
        tuple(map(_sample, list_of(field(answer, "samples"), _MOST_SAMPLES))),
        None if note is None else text_of(note),
    )


def _sample(answer: object) -> RowSample:
    return RowSample(_change(field(answer, "change")), _row(field(answer, "before")), _row(field(answer, "after")))


def _row(answer: object) -> Mapping[str, str | None] | None:
    if answer is None:
        return None
    if not isinstance(answer, dict) or len(answer) > _MOST_COLUMNS:
        raise malformed()
    return {text_of(name): None if value is None else text_of(value) for name, value in answer.items()}
