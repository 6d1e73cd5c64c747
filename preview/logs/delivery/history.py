"""The stored log of a preview that is over, read page by page; and a cache of pages that several readers share.

After a burst many readers catch up from the same line. Without the cache each would read and encode the same page.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

import trio

from preview.core.bounded_dict import BoundedDict
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import End, Gap
from preview.logs.storage.store import PAGE_LINES, LogStore, read_events, settled


async def _nothing_under_way() -> None:
    await trio.lowlevel.checkpoint()


class History:
    """Stored lines of a preview that is over, then its end. Used like a ``Subscription``: ``with`` and ``receive()``.

    Args:
        store: Reads the lines.
        end: The preview's end, from its row.
        after: Number of the last line that the reader has; delivery starts after it.
        tail: Deliver only this many last lines.
        last_seq: Number of the preview's last line; missing lines up to it are reported as a gap. None if unknown (the
            service crashed): then the last stored line counts.
        settle: Waits until none of the lines is queued for the database.
    """

    def __init__(
        self,
        store: LogStore,
        end: End,
        preview_id: str,
        *,
        after: int | None = None,
        tail: int | None = None,
        last_seq: int | None = None,
        settle: Callable[[], Awaitable[None]] = _nothing_under_way,
    ) -> None:
        self._store = store
        self._end = end
        self._preview_id = preview_id
        self._after = after
        self._tail = tail
        self._last_seq = last_seq
        self._settle = settle
        self._next: int | None = None
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True

    async def receive(self) -> list[Received]:
        """Return the next page of lines and gaps; after the last page, the ``End``.

        Raises:
            trio.EndOfChannel: ``End`` was delivered, or the context was left.
            DatabaseUnavailable: The database did not respond; a later call continues at the same line.

        Cancellation: nothing is lost; a later call continues at the same line.
        """
        if self._ended:
            await trio.lowlevel.checkpoint()
            raise trio.EndOfChannel
        if self._next is None:
            await settled(self._settle(), self._preview_id)
            self._next = await self._start()
        below = None if self._last_seq is None else self._last_seq + 1
        events = await read_events(self._store, self._preview_id, expected=self._next, below=below)
        if not events:
            self._ended = True
            return [self._end]
        self._next = events[-1].last_seq + 1
        return list(events)

    async def _start(self) -> int:
        first, stored = await self._store.bounds(self._preview_id)
        last = stored if self._last_seq is None else self._last_seq
        if self._after is not None:
            # A number past the end belongs to an earlier preview, so this log is read from its start.
            return self._after + 1 if 0 <= self._after <= last else 1
        if self._tail is not None:
            return max(first, last - self._tail + 1, 1)
        return 1


# Readers that catch up are at similar positions. A page has at most a thousand lines and a bounded size.
_KEPT = 4


@dataclass(frozen=True, slots=True)
class _Page:
    events: list[Batch | Gap]
    below: int

    def serves(self, below: int) -> bool:
        """Return True if this page is also right for the end ``below``: the same end, or one beyond a full page."""
        if below == self.below:
            return True
        lines = sum(len(event) for event in self.events if isinstance(event, Batch))
        return lines >= PAGE_LINES and self.events[-1].last_seq < below


class SharedPages:
    """The last pages read of one log, by first line. The owner calls ``clear`` when nobody catches up any more."""

    def __init__(self) -> None:
        self._kept: BoundedDict[int, _Page] = BoundedDict(_KEPT)
        self._under_way: dict[int, trio.Event] = {}

    def __len__(self) -> int:
        """Return the number of pages."""
        return len(self._kept)

    def clear(self) -> None:
        """Drop all pages."""
        self._kept.clear()

    async def read(self, store: LogStore, preview_id: str, *, expected: int, below: int) -> list[Batch | Gap]:
        """Return ``read_events``, from the cache if possible; waits for another task that reads the same page.

        Raises:
            DatabaseUnavailable: See ``read_events``.

        Cancellation: nothing changes; a task that waits for the same page reads it itself.
        """
        while (under_way := self._under_way.get(expected)) is not None:
            await under_way.wait()
        found = self._kept.get(expected)
        if found is not None and found.serves(below):
            await trio.lowlevel.checkpoint()
            return found.events
        done = self._under_way[expected] = trio.Event()
        try:
            events = await read_events(store, preview_id, expected=expected, below=below)
        finally:
            del self._under_way[expected]
            done.set()
        if events:
            self._kept[expected] = _Page(events, below)
        return events
