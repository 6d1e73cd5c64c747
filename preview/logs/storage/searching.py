"""Stored lines that pass a filter, and which numbers are missing among those that were looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from preview.logs.model.events import Gap, Level, LogLine, Source
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.conditions import conditions
from preview.logs.storage.taking import take_rows
from preview.storage.tables import preview_logs

_C = preview_logs.c


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in the numbers ``first`` to ``last``, both included; in none where ``last`` is less.

    Attributes:
        lines: Those that pass, oldest first.
        gaps: Numbers that are there no more, oldest first.
        first: The first number that was looked at.
        last: The last one.
    """

    lines: Sequence[LogLine]
    gaps: Sequence[Gap]
    first: int
    last: int


def find_lines(
    connection: Connection, preview_id: str, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool
) -> Found:
    """Up to ``limit`` lines numbered ``first`` to ``last`` (at least one number): the newest of them, or the oldest.

    Of very long lines it is fewer, see ``take_rows``. Where there are more, less of the range was looked at.
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
    """Number of the preview's oldest stored line; 0 if there is none."""
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
    # As ``pages.read_events`` tells them.
    return [Gap(low, high, "retention" if low < kept else "lost") for low, high in holes]
