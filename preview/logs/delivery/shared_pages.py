"""Stored pages that several readers want in the same moments, read once.

Readers whom a burst has left behind stand at the same line: each would read the same page, and encode it.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from preview.logs.model.batch import Batch
from preview.logs.model.events import Gap
from preview.logs.storage.pages import PAGE_LINES, read_events
from preview.logs.storage.store import LogStore

# Those who are behind are so by about as much; a page holds a thousand lines at most, and is bounded by its text.
_KEPT = 4


@dataclass(frozen=True, slots=True)
class _Page:
    events: list[Batch | Gap]
    below: int

    def serves(self, below: int) -> bool:
        """Whether the database would give the same for this end: it did not come that far, or it is the same end."""
        if below == self.below:
            return True
        lines = sum(len(event) for event in self.events if isinstance(event, Batch))
        return lines >= PAGE_LINES and self.events[-1].last_seq < below


class SharedPages:
    """The pages of one log that were read last, by their first line. Whoever has it calls ``clear`` in time."""

    def __init__(self) -> None:
        self._kept: dict[int, _Page] = {}
        self._under_way: dict[int, trio.Event] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def clear(self) -> None:
        """Nobody is behind any more: keep nothing."""
        self._kept.clear()

    async def read(self, store: LogStore, preview_id: str, *, expected: int, below: int) -> list[Batch | Gap]:
        """See ``read_events``; where somebody reads this page already, it is waited for.

        Raises:
            DatabaseUnavailable: As there.

        Cancellation: nothing changes; whoever waits for the same page reads it.
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
            self._kept.pop(expected, None)
            self._kept[expected] = _Page(events, below)
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return events
