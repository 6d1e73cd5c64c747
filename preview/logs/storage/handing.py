"""The numbers of all logs, handed out by the transactions of the log writer."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import trio

from preview.logs.model.batch import Batch
from preview.logs.model.numbers import Numbers
from preview.storage.database import HandedEnd

# Numbers that were handed out for a burst are taken back after this time, so that a loss leaves no large gap later.
_KEPT_S = 10.0


class Handing(NamedTuple):
    """Numbers that one transaction hands out.

    Attributes:
        asked: The previews that had asked.
        ends: By preview, the end of its numbers.
        aheads: By preview, how many numbers it has in advance then.
    """

    asked: frozenset[str]
    ends: Mapping[str, HandedEnd]
    aheads: Mapping[str, int]


class HandedNumbers:
    """The numbers of open logs.

    Attributes:
        asking: Previews that need a transaction soon.
    """

    def __init__(self) -> None:
        self.asking: set[str] = set()
        self._open: dict[str, Numbers] = {}
        # Those with many numbers, and since when.
        self._many: dict[str, float] = {}

    def open(self, preview_id: str, numbers: Numbers) -> None:
        """Hand numbers out for a new log."""
        self._open[preview_id] = numbers

    def close(self, preview_id: str, numbers: Numbers) -> None:
        """Stop it: the log has ended. A later log of the preview goes on."""
        if self._open.get(preview_id) is numbers:
            del self._open[preview_id]
            self.asking.discard(preview_id)
            self._many.pop(preview_id, None)

    def plan(self, batches: Iterable[Batch], ahead: Callable[[int], int], chosen: Collection[str] | None) -> Handing:
        """Return what the transaction of these batches hands out. It may lower numbers at once; see ``Numbers``.

        Args:
            batches: The lines of the transaction.
            ahead: Returns how many numbers to hand out in advance, for so many lines in a transaction.
            chosen: Only for these previews; None means all.
        """
        counts: Counter[str] = Counter()
        for batch in batches:
            counts[batch.preview_id] += len(batch)
        asking = frozenset(self.asking if chosen is None else self.asking & {*chosen})
        asked = {*counts, *asking}
        # A log may ask again during the transaction.
        self.asking -= asking
        ends, aheads = dict[str, HandedEnd](), dict[str, int]()
        for preview_id in asked:
            numbers = self._open.get(preview_id)
            if numbers is None or not numbers.is_bounded:
                continue
            aheads[preview_id] = ahead(counts[preview_id])
            wished = numbers.wish(aheads[preview_id])
            if wished is not None:
                ends[preview_id] = wished
            elif not counts[preview_id]:
                self._many.pop(preview_id, None)
        return Handing(asking, ends, aheads)

    def done(self, handing: Handing, refused: Collection[str], usual: int) -> None:
        """Let the logs use what a committed transaction has handed out.

        Args:
            handing: See ``plan``.
            refused: Previews of other nodes by now.
            usual: How many numbers a quiet log has in advance.
        """
        for preview_id, end in handing.ends.items():
            numbers = self._open.get(preview_id)
            if numbers is None or preview_id in refused:
                continue
            if handing.aheads[preview_id] > usual:
                self._many[preview_id] = trio.current_time()
            else:
                self._many.pop(preview_id, None)
            numbers.grant(end, handing.aheads[preview_id])

    def undone(self, handing: Handing) -> None:
        """Let the previews ask again: it is not known that the transaction was committed."""
        self.asking |= handing.asked & self._open.keys()

    def next_s(self) -> float:
        """Return the seconds until ``take_back`` has something to do."""
        if not self._many:
            return math.inf
        return max(0.0, min(self._many.values()) + _KEPT_S - trio.current_time())

    def take_back(self) -> None:
        """Let previews ask that have had many numbers for a while."""
        now = trio.current_time()
        for preview_id, since in self._many.items():
            if now >= since + _KEPT_S:
                self._many[preview_id] = now
                self.asking.add(preview_id)
