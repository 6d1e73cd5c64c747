"""Batches queued for the database: one queue per preview, one common limit, fair turns."""

from __future__ import annotations

from collections import deque

import trio

from preview.logs.model.batch import Batch

# A preview's stored lines are counted in this many pieces; the oldest pieces are deleted first.
_STORED_PIECES = 256


class PreviewQueue:
    """One preview's batches on their way to the database.

    Attributes:
        waiting: Batches that the writer has not yet taken, in order.
        waiting_bytes: Their size.
        in_flight_first: Number of the first line being written; 0 if none is.
        offered_seq: Number of the last line offered, even if it was dropped.
        lost_lines: Number of dropped lines.
        closed: No batch follows; the queue is removed once it is empty.
        settled: Tasks that wait for the end of a write park here.
    """

    def __init__(self, stored_bytes_limit: int) -> None:
        self.waiting: deque[Batch] = deque()
        self.waiting_bytes = 0
        self.in_flight_first = 0
        self.offered_seq = 0
        self.lost_lines = 0
        self.closed = False
        self.settled = trio.lowlevel.ParkingLot()
        self._limit = stored_bytes_limit
        self._stored: deque[list[int]] = deque()  # [last number, bytes] of each piece, oldest first
        self._stored_bytes = 0

    def is_settled(self, seq: int) -> bool:
        """Return True if no line up to ``seq`` is still pending."""
        if 0 < self.in_flight_first <= seq:
            return False
        return not self.waiting or self.waiting[0].first_seq > seq

    def count_stored(self, last_seq: int, size_bytes: int) -> int:
        """Count stored lines. Returns the number up to which stored lines exceed the limit; 0 if none do."""
        self._stored_bytes += size_bytes
        if self._stored and self._stored[-1][1] < self._limit // _STORED_PIECES:
            self._stored[-1][0] = last_seq
            self._stored[-1][1] += size_bytes
        else:
            self._stored.append([last_seq, size_bytes])
        cut = 0
        while self._stored_bytes > self._limit and len(self._stored) > 1:
            cut, size = self._stored.popleft()
            self._stored_bytes -= size
        return cut


class WriteQueue:
    """The queues of all previews, with one common limit.

    When the limit is reached, the preview with the most queued bytes loses its newest batch. So a flood costs only the
    lines of the preview that prints it.
    """

    def __init__(self, max_bytes: int, stored_bytes_limit: int) -> None:
        self._max_bytes = max_bytes
        self._stored_bytes_limit = stored_bytes_limit
        self._queues: dict[str, PreviewQueue] = {}
        # Previews with waiting batches; the next one to write first.
        self._turns: dict[str, PreviewQueue] = {}
        self.size_bytes = 0
        self.waiting_lines = 0

    @property
    def oldest_ms(self) -> int | None:
        """Time of the oldest line that waits, in milliseconds since the epoch; None if none waits."""
        return min((queue.waiting[0].timestamps[0] for queue in self._turns.values()), default=None)

    def find(self, preview_id: str) -> PreviewQueue | None:
        """Return the preview's queue, or None."""
        return self._queues.get(preview_id)

    def put(self, batch: Batch) -> int:
        """Queue the batch, dropping lines of the largest queue if necessary. Returns the number of dropped lines."""
        queue = self._queues.get(batch.preview_id)
        if queue is None:
            queue = self._queues[batch.preview_id] = PreviewQueue(self._stored_bytes_limit)
        queue.offered_seq = batch.last_seq
        dropped = 0
        while self.size_bytes + batch.size_bytes > self._max_bytes:
            greediest = max(self._turns.values(), key=lambda other: other.waiting_bytes, default=queue)
            if greediest is queue or greediest.waiting_bytes <= queue.waiting_bytes + batch.size_bytes:
                queue.lost_lines += len(batch)
                return dropped + len(batch)
            dropped += self._drop_newest(greediest)
        queue.waiting.append(batch)
        queue.waiting_bytes += batch.size_bytes
        self.size_bytes += batch.size_bytes
        self.waiting_lines += len(batch)
        self._turns.setdefault(batch.preview_id, queue)
        return dropped

    def holds(self, batch: Batch) -> bool:
        """Return True if this batch, the newest of its preview, was queued and not dropped."""
        queue = self._queues.get(batch.preview_id)
        return queue is not None and bool(queue.waiting) and queue.waiting[-1] is batch

    def take(self, max_lines: int, max_bytes: int) -> list[Batch]:
        """Take the next transaction: one batch of each preview in turn, up to a limit. The batches are then in flight.

        The batches of a preview are adjacent and in order.
        """
        taken: dict[str, list[Batch]] = {}
        lines = size = 0
        while self._turns and lines < max_lines and size < max_bytes:
            preview_id = next(iter(self._turns))
            queue = self._turns.pop(preview_id)
            batch = queue.waiting.popleft()
            queue.waiting_bytes -= batch.size_bytes
            if queue.waiting:
                self._turns[preview_id] = queue
            queue.in_flight_first = queue.in_flight_first or batch.first_seq
            lines += len(batch)
            size += batch.size_bytes
            taken.setdefault(preview_id, []).append(batch)
        self.waiting_lines -= lines
        return [batch for batches in taken.values() for batch in batches]

    def settle(self, batches: list[Batch]) -> None:
        """Settle batches, written or dropped; they must be all batches in flight of their previews."""
        for batch in batches:
            self.size_bytes -= batch.size_bytes
        for preview_id in {batch.preview_id for batch in batches}:
            queue = self._queues[preview_id]
            queue.in_flight_first = 0
            queue.settled.unpark_all()
            self.forget_if_done(preview_id)

    def forget_if_done(self, preview_id: str) -> None:
        """Remove the queue of a closed preview that has no pending batch."""
        queue = self._queues.get(preview_id)
        if queue is not None and queue.closed and not queue.waiting and not queue.in_flight_first:
            del self._queues[preview_id]

    def _drop_newest(self, queue: PreviewQueue) -> int:
        batch = queue.waiting.pop()
        queue.waiting_bytes -= batch.size_bytes
        queue.lost_lines += len(batch)
        self.size_bytes -= batch.size_bytes
        self.waiting_lines -= len(batch)
        if not queue.waiting:
            del self._turns[batch.preview_id]
            queue.settled.unpark_all()
            self.forget_if_done(batch.preview_id)
        return len(batch)
