"""The newest batches of one preview: a ring bounded by lines and by bytes."""

from __future__ import annotations

from collections import deque

from preview.logs.model.batch import Batch
from preview.logs.model.events import Level, LogLine
from preview.logs.model.filtering import LineFilter


class Backlog:
    """What can be replayed without asking the database.

    Invariant: the batches are dense, so it holds exactly the lines ``first_seq`` to the last one appended. The newest
    batch stays even if it alone is over a bound (it is itself bounded by one read).

    Args:
        max_lines: Most lines.
        max_bytes: Most bytes, encoded forms included.
    """

    def __init__(self, *, max_lines: int, max_bytes: int) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._batches: deque[Batch] = deque()
        self._lines = 0
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """What the batches may come to hold (see ``Batch.held_bytes``)."""
        return self._bytes

    def __len__(self) -> int:
        """How many lines."""
        return self._lines

    @property
    def first_seq(self) -> int:
        """Number of the oldest line held; 1 while it is empty, because nothing has left it."""
        return self._batches[0].first_seq if self._batches else 1

    def append(self, batch: Batch) -> None:
        """Take the next batch, whose numbers follow the last one's; release the oldest that are too many."""
        self._batches.append(batch)
        self._lines += len(batch)
        self._bytes += batch.held_bytes
        while len(self._batches) > 1 and (self._lines > self._max_lines or self._bytes > self._max_bytes):
            oldest = self._batches.popleft()
            self._lines -= len(oldest)
            self._bytes -= oldest.held_bytes

    def after(self, seq: int, *, max_bytes: int) -> list[Batch]:
        """The batches behind line ``seq`` (which must not be before ``first_seq - 1``), oldest first.

        Args:
            seq: The last line that is known already.
            max_bytes: Stop once this much is collected, as it is sent; at least one batch is given if there is one.
        """
        found: list[Batch] = []
        size = 0
        for index in range(self._position(seq), len(self._batches)):
            batch = self._batches[index].after(seq)
            found.append(batch)
            size += batch.sent_bytes
            if size >= max_bytes:
                break
        return found

    def last_lines(self, count: int, level: Level | None = None) -> list[LogLine]:
        """The last ``count`` lines, oldest first; with ``level`` only those at least that severe."""
        found: list[LogLine] = []
        for batch in reversed(self._batches):
            for line in reversed(batch.lines):
                if len(found) >= count:
                    return found[::-1]
                if level is None or line.level >= level:
                    found.append(line)
        return found[::-1]

    def find(self, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool) -> list[LogLine]:
        """Up to ``limit`` lines numbered ``first`` to ``last`` that pass: the newest or the oldest, oldest first."""
        found: list[LogLine] = []
        start, stop = self._position(first - 1), min(self._position(last) + 1, len(self._batches))
        for at in range(stop - 1, start - 1, -1) if newest else range(start, stop):
            batch = self._batches[at]
            positions = chosen.positions(batch.marks, batch.messages, batch.requests)
            for index in reversed(positions) if newest else positions:
                if len(found) >= limit:
                    break
                if first <= batch.first_seq + index <= last:
                    found.append(batch.line_at(index))
        return found[::-1] if newest else found

    def _position(self, seq: int) -> int:
        """Index of the first batch that has a line behind ``seq`` (bisection over the ring)."""
        low, high = 0, len(self._batches)
        while low < high:
            middle = (low + high) // 2
            if self._batches[middle].last_seq <= seq:
                low = middle + 1
            else:
                high = middle
        return low
