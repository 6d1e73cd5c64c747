"""Search of stored lines with a filter, and of missing numbers in the searched range.

The SQL gives the same result as ``LineFilter`` in memory, on SQLite and PostgreSQL; a property test compares them.

The search does not use LIKE: a literal search needs no wildcards, and SQLite limits the length of LIKE's pattern. Both
``lower`` functions used here change only the letters A to Z: SQLite's own, and PostgreSQL's with the collation "C".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVarTuple

from sqlalchemy import Connection, Row, Select, case, collate, func, select
from sqlalchemy.sql import ColumnElement

from preview.core.escapes import SGR
from preview.logs.model.events import Gap, Level, LogLine, Source
from preview.logs.model.filtering import LineFilter
from preview.storage.tables import preview_logs

_C = preview_logs.c
_LOWER = str.maketrans({letter: letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})


def conditions(chosen: LineFilter, dialect: str) -> list[ColumnElement[bool]]:
    """Return the SQL conditions of a filter on ``preview_logs``; empty if all rows pass."""
    found: list[ColumnElement[bool]] = []
    if chosen.level > Level.DEBUG:
        found.append(_C.level >= chosen.level.value)
    if chosen.sources is not None:
        found.append(_C.source.in_(sorted(source.value for source in chosen.sources)))
    if chosen.request_id:
        found.append(_C.request_id == chosen.request_id)
    if chosen.q:
        wanted = chosen.q.translate(_LOWER)
        is_sqlite = dialect == "sqlite"
        message = _C.message if "\x1b" in wanted else _plain_message(is_sqlite=is_sqlite)
        if is_sqlite:
            found.append(func.instr(func.lower(message), wanted) > 0)
        else:
            found.append(func.strpos(func.lower(collate(message, "C")), wanted) > 0)
    return found


def _plain_message(*, is_sqlite: bool) -> ColumnElement[str]:
    """Return the message without colours; messages without colours cost no time."""
    if is_sqlite:
        # ``storage.engine`` registers this function.
        return case((func.instr(_C.message, "\x1b") > 0, func.without_colours(_C.message)), else_=_C.message)
    bare = func.regexp_replace(_C.message, SGR.replace(r"\x1b", "\x1b"), "", "g")
    return case((func.strpos(_C.message, "\x1b") > 0, bare), else_=_C.message)


Ts = TypeVarTuple("Ts")

# Maximum text of a page, which stays in memory as long as its reader takes. A line has at most 64 KiB.
PAGE_CHARACTERS = 1024 * 1024
# Rows read at once: a page may exceed its limit by this many.
_STEP_ROWS = 32


def take_rows(connection: Connection, wanted: Select[*Ts], *, limit: int) -> tuple[Sequence[Row[*Ts]], bool]:
    """Return the first rows of a query, up to ``limit`` rows and about ``PAGE_CHARACTERS`` of text.

    Args:
        connection: Database connection.
        wanted: Query with the column ``message``.
        limit: Maximum number of rows, at least one.

    Returns:
        The rows, and True if a limit was reached.
    """
    rows: list[Row[*Ts]] = []
    characters = 0
    with connection.execute(wanted.limit(limit)) as found:
        for part in found.partitions(_STEP_ROWS):
            rows += part
            characters += sum(len(row.message) for row in part)
            if characters >= PAGE_CHARACTERS:
                return rows, True
    return rows, len(rows) >= limit


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a search in the range ``first`` to ``last`` (both included), which is empty if ``last`` is less.

    Attributes:
        lines: Matching lines, oldest first.
        gaps: Missing numbers, oldest first.
        first: Number of the first line searched.
        last: Number of the last line searched.
    """

    lines: Sequence[LogLine]
    gaps: Sequence[Gap]
    first: int
    last: int


def find_lines(
    connection: Connection, preview_id: str, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool
) -> Found:
    """Find up to ``limit`` matching lines in ``first`` to ``last``: the newest, or the oldest.

    Very long lines reduce the limit, see ``take_rows``. At a limit, the result's range covers only the lines found.
    """
    order = _C.seq.desc() if newest else _C.seq
    wanted = (
        select(_C.seq, _C.timestamp, _C.level, _C.source, _C.message, _C.request_id)
        .where(_C.preview_id == preview_id, _C.seq.between(first, last))
        .where(*conditions(chosen, connection.dialect.name))
        .order_by(order)
    )
    rows, is_cut = take_rows(connection, wanted, limit=limit)
    lines = [LogLine(seq, stamp, Level(level), Source(source), *rest) for seq, stamp, level, source, *rest in rows]
    if newest:
        lines.reverse()
    if is_cut:
        first, last = (lines[0].seq, last) if newest else (first, lines[-1].seq)
    return Found(lines, _gaps(connection, preview_id, first, last), first, last)


def first_kept(connection: Connection, preview_id: str) -> int:
    """Return the number of the preview's oldest stored line; 0 if there is none."""
    return connection.scalar(select(func.min(_C.seq)).where(_C.preview_id == preview_id)) or 0


def _gaps(connection: Connection, preview_id: str, first: int, last: int) -> list[Gap]:
    within = (_C.preview_id == preview_id, _C.seq.between(first, last))
    there = connection.scalar(select(func.count()).select_from(preview_logs).where(*within)) or 0
    if there == last - first + 1:
        return []
    kept = first_kept(connection, preview_id)
    before = func.lag(_C.seq, 1, first - 1).over(order_by=_C.seq).label("before")
    pairs = select(_C.seq, before).where(*within).subquery()
    jumps = select(pairs.c.before + 1, pairs.c.seq - 1).where(pairs.c.seq - pairs.c.before > 1).order_by(pairs.c.seq)
    holes = [(low, high) for low, high in connection.execute(jumps)]
    newest = connection.scalar(select(func.max(_C.seq)).where(*within)) or first - 1
    if newest < last:
        holes.append((newest + 1, last))
    # The same reasons as in ``store.read_events``.
    return [Gap(low, high, "retention" if low < kept else "lost") for low, high in holes]
