"""Search of stored lines with a filter, and of missing numbers in the searched range.

SQL does what it can (``conditions``); Python tests the other terms on the rows that are left, within bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import thread_time
from typing import TypeVarTuple

from sqlalchemy import Connection, Row, Select, func, select

from preview.logs.filter import Filter
from preview.logs.model.batch import Batch, line_of
from preview.logs.model.events import Gap, LogLine
from preview.logs.model.filtering import Columns, LineFilter
from preview.logs.storage.conditions import conditions
from preview.storage.tables import preview_logs

_C = preview_logs.c
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
class Page:
    """Stored lines as read in one transaction.

    Attributes:
        batches: Oldest first; a new batch starts after missing numbers.
        first_kept: Number of the preview's oldest stored line; 0 if there is none.
        full: True if a limit of lines or text was reached, so there may be more lines.
    """

    batches: list[Batch]
    first_kept: int
    full: bool


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

    Very long lines reduce the limit, see ``take_rows``, and so do terms that cost much time. At a limit, the result's
    range covers only the lines that were searched.
    """
    tests, rest = conditions(chosen, connection.dialect.name)
    wanted = (
        select(_C.seq, _C.timestamp, _C.level, _C.source, _C.message, _C.request_id)
        .where(_C.preview_id == preview_id, *tests)
        .order_by(_C.seq.desc() if newest else _C.seq)
    )
    scan = _Scan(connection, wanted, rest, limit, newest=newest)
    lines, edge = scan.run(first, last)
    if newest:
        lines.reverse()
    if edge is not None:
        first, last = (edge, last) if newest else (first, edge)
    return Found(lines, _gaps(connection, preview_id, first, last), first, last)


# Rows that are read for terms that Python tests.
_SCAN_ROWS = 1000
# Processor time of one search for such terms; then the page ends, and the next one continues there.
_SCAN_S = 0.1


@dataclass(frozen=True, slots=True)
class _Scan:
    """Reads rows until enough match the terms that SQL cannot test."""

    connection: Connection
    wanted: Select[int, int, int, str, str, str | None]
    terms: Filter
    limit: int
    newest: bool

    def run(self, first: int, last: int) -> tuple[list[LogLine], int | None]:
        """Return matching lines in the query's order, and the last number searched; None if all were."""
        lines: list[LogLine] = []
        characters, until = 0, thread_time() + _SCAN_S
        while True:
            most = self.limit if self.terms.is_empty else _SCAN_ROWS
            rows, is_cut = take_rows(self.connection, self.wanted.where(_C.seq.between(first, last)), limit=most)
            found = list(map(line_of, rows))
            matching = self._matching(found)[: self.limit - len(lines)]
            lines += matching
            if len(lines) >= self.limit:
                return lines, lines[-1].seq
            characters += sum(len(line.message) for line in matching)
            if is_cut and characters >= PAGE_CHARACTERS:
                return lines, found[-1].seq
            if not is_cut:
                return lines, None
            if thread_time() >= until:
                return lines, found[-1].seq
            first, last = (first, found[-1].seq - 1) if self.newest else (found[-1].seq + 1, last)

    def _matching(self, found: list[LogLine]) -> list[LogLine]:
        if self.terms.is_empty:
            return found
        # Positions stand for rows here, which may have gaps.
        marks = bytes([line.mark for line in found])
        requests = {at: line.request_id for at, line in enumerate(found) if line.request_id is not None}
        columns = Columns(
            0,
            [line.timestamp_ms for line in found],
            marks,
            [line.message for line in found],
            requests or None,
            [line.seq for line in found],
        )
        return [found[at] for at in self.terms.narrow(columns, range(len(found)))]


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
