"""Pages of a preview's log, live or over: lines from memory where possible, else from the database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from preview.errors import InvalidFilter
from preview.logs.delivery.backlog import Backlog
from preview.logs.model.events import Gap, LogLine
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.searching import Found
from preview.logs.storage.store import LogStore, settled

# Maximum number of stored lines scanned for one page, some 50 ms, so that a rarely matching filter does not block a
# database connection. A page may then have fewer lines than requested, even none; its range tells where to continue.
_WINDOW_LINES = 50_000


class LiveLines(Protocol):
    """Lines in memory of a live preview."""

    backlog: Backlog

    @property
    def last_seq(self) -> int:
        """Number of the newest line."""


@dataclass(frozen=True, slots=True)
class Range:
    """Requested range of lines.

    Attributes:
        after: Only lines with a higher number.
        before: Only lines with a lower number; None: up to the newest line.
        limit: Maximum number of lines.
        newest: If more lines match, return the newest instead of the oldest.
    """

    after: int = 0
    before: int | None = None
    limit: int = 1000
    newest: bool = False


@dataclass(frozen=True, slots=True)
class LogSlice:
    """A page.

    Attributes:
        lines: Matching lines, oldest first.
        gaps: Missing numbers among ``first`` to ``last``, oldest first.
        first: Number of the first line scanned.
        last: Number of the last line scanned; less than ``first`` if none was.
        first_kept: Number of the oldest line that still exists; 0 if there is none.
        last_seq: Number of the newest line so far.
    """

    lines: list[LogLine]
    gaps: list[Gap]
    first: int
    last: int
    first_kept: int
    last_seq: int


class LogPager:
    """Reads pages of one preview's log.

    Args:
        store: Reads lines that are no longer in memory.
        preview_id: The preview.
        live: Lines in memory; None once the preview is over.
        last_seq: Number of the last line of a preview that is over; None if unknown.
        settle: Waits until no line up to a number (None: no line at all) is queued for the database.
    """

    def __init__(
        self,
        store: LogStore,
        preview_id: str,
        *,
        live: LiveLines | None,
        last_seq: int | None,
        settle: Callable[[int | None], Awaitable[None]],
    ) -> None:
        self._store = store
        self._preview_id = preview_id
        self._live = live
        self._last_seq = last_seq
        self._settle = settle

    async def page(self, asked: Range, chosen: LineFilter) -> LogSlice:
        """Return the lines of the requested range that match ``chosen``.

        Raises:
            DatabaseUnavailable: Lines that are no longer in memory cannot be read now.
            InvalidFilter: A term needs too much time.

        Cancellation: nothing changes.
        """
        held = None if self._live is None else self._live.backlog.first_seq
        last_seq = self._last_seq
        if self._live is not None:
            last_seq = self._live.last_seq
        elif last_seq is None:
            await settled(self._settle(None), self._preview_id)
            last_seq = (await self._store.bounds(self._preview_id))[1]
        first, last = asked.after + 1, last_seq if asked.before is None else min(last_seq, asked.before - 1)
        parts: list[Found] = []
        if first <= last:
            find = self._newest if asked.newest else self._oldest
            parts = await find(chosen, first, last, asked.limit, last_seq + 1 if held is None else held)
            if (fault := chosen.fault) is not None:
                raise InvalidFilter(fault)
        kept = await self._first_kept(held) if last_seq else 0
        return LogSlice(
            [line for part in parts for line in part.lines],
            [gap for part in parts for gap in part.gaps],
            parts[0].first if parts else first,
            parts[-1].last if parts else first - 1,
            kept,
            last_seq,
        )

    async def _oldest(self, chosen: LineFilter, first: int, last: int, limit: int, held: int) -> list[Found]:
        """Return the oldest matches: first from the database, then from memory, which starts at line ``held``."""
        if first >= held:
            return [self._in_memory(chosen, first, last, limit, newest=False)]
        stop = min(last, held - 1, first + _WINDOW_LINES - 1)
        stored = await self._stored(chosen, first, stop, limit, newest=False)
        left = limit - len(stored.lines)
        if stored.last < held - 1 or held > last or not left or not self._holds(held):
            return [stored]
        return [stored, self._in_memory(chosen, held, last, left, newest=False)]

    async def _newest(self, chosen: LineFilter, first: int, last: int, limit: int, held: int) -> list[Found]:
        """Return the newest matches: first from memory, then from the database."""
        parts: list[Found] = []
        if last >= held:
            parts = [self._in_memory(chosen, max(first, held), last, limit, newest=True)]
            limit -= len(parts[0].lines)
            last = parts[0].first - 1
        if last >= first and last < held and limit:
            start = max(first, last - _WINDOW_LINES + 1)
            parts.insert(0, await self._stored(chosen, start, last, limit, newest=True))
        return parts

    async def _stored(self, chosen: LineFilter, first: int, last: int, limit: int, *, newest: bool) -> Found:
        await settled(self._settle(last), self._preview_id)
        return await self._store.find(self._preview_id, chosen, first=first, last=last, limit=limit, newest=newest)

    def _holds(self, seq: int) -> bool:
        """Return True if line ``seq`` is still in memory."""
        return self._live is not None and self._live.backlog.first_seq <= seq

    def _in_memory(self, chosen: LineFilter, first: int, last: int, limit: int, *, newest: bool) -> Found:
        assert self._live is not None  # noqa: S101  for the type checker: without ``live`` nothing is read from memory
        lines = self._live.backlog.find(chosen, first=first, last=last, limit=limit, newest=newest)
        if len(lines) == limit:
            first, last = (lines[0].seq, last) if newest else (first, lines[-1].seq)
        return Found(lines, [], first, last)

    async def _first_kept(self, held: int | None) -> int:
        if held == 1:
            return 1
        return (await self._store.bounds(self._preview_id))[0] or held or 0
