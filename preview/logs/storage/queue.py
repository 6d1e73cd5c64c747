"""Batches that wait for the database: one queue per preview, one limit, fair turns."""

from __future__ import annotations

from collections import deque

import trio

from preview.logs.model.batch import Batch

# Pieces in which a preview's stored lines are counted, and later deleted from the oldest on.
_STORED_PIECES = 256


class PreviewQueue:
    """One preview's batches on their way to the database.

    Attributes:
        waiting: Not yet taken by the writer, in the order of their numbers.
        waiting_bytes: Their size.
        in_flight_first: First number now being written; 0 if none is.
        offered_seq: Last number offered, whether taken or dropped.
        lost_lines: Lines that were dropped.
        closed: Nothing more will be offered; the queue is forgotten once it is empty.
        settled: Who waits for a write to end parks here.
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
        """Return whether no line up to ``seq`` is still pending."""
        if 0 < self.in_flight_first <= seq:
            return False
        return not self.waiting or self.waiting[0].first_seq > seq

    def count_stored(self, last_seq: int, size_bytes: int) -> int:
        """Count lines that were stored; returns the number up to which the oldest are now too many, 0 if none are."""
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
    """The queues of all previews under one bound.

    When it is full, the preview that holds the most loses: its newest batch is dropped, so that one preview's flood
    costs only that preview's lines.
    """

    def __init__(self, max_bytes: int, stored_bytes_limit: int) -> None:
        self._max_bytes = max_bytes
        self._stored_bytes_limit = stored_bytes_limit
        self._queues: dict[str, PreviewQueue] = {}
        # Previews with waiting batches, in the order of their turns.
        self._turns: dict[str, PreviewQueue] = {}
        self.size_bytes = 0
        self.waiting_lines = 0

    def find(self, preview_id: str) -> PreviewQueue | None:
        """Return the preview's queue, if it has one."""
        return self._queues.get(preview_id)

    def put(self, batch: Batch) -> int:
        """Take the batch, or make room at the expense of the greediest; returns how many lines were dropped."""
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
        """Return whether this batch, the newest of its preview, was taken and not dropped."""
        queue = self._queues.get(batch.preview_id)
        return queue is not None and bool(queue.waiting) and queue.waiting[-1] is batch

    def take(self, max_lines: int, max_bytes: int) -> list[Batch]:
        """Return the next transaction: one batch of each preview in turn, up to a limit. They are in flight.

        A preview's batches stand together, in the order of their numbers.
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
        """Settle batches, all that are in flight of their previews: they were written or dropped."""
        for batch in batches:
            self.size_bytes -= batch.size_bytes
        for preview_id in {batch.preview_id for batch in batches}:
            queue = self._queues[preview_id]
            queue.in_flight_first = 0
            queue.settled.unpark_all()
            self.forget_if_done(preview_id)

    def forget_if_done(self, preview_id: str) -> None:
        """Forget a closed preview of which nothing is on its way."""
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
