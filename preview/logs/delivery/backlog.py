"""The newest batches of one preview: a ring bounded by lines and by bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import NamedTuple, Protocol

import trio

from preview.logs.delivery.history import SharedPages
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import End, Level, LogLine, StatusChange
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.store import LogStore, read_events, settled


class Backlog:
    """Lines that can be replayed without the database.

    Invariant: the batches are dense, so it holds exactly the lines ``first_seq`` to the last one appended. The newest
    batch stays even if it alone is over a bound (it is itself bounded by one read).
    """

    def __init__(self, *, max_lines: int, max_bytes: int) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._batches: deque[Batch] = deque()
        self._lines = 0
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Size of the batches at most (see ``Batch.held_bytes``)."""
        return self._bytes

    def __len__(self) -> int:
        """Return the number of lines."""
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
        """Return the batches after line ``seq`` (which must not be before ``first_seq - 1``), oldest first.

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
        """Return the last ``count`` lines, oldest first; with ``level`` only those at least that severe."""
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
        """Index of the first batch that has a line behind ``seq``."""
        return bisect_right(self._batches, seq, key=lambda batch: batch.last_seq)


class Listener(Protocol):
    """Called with each event as it happens; must not wait and must not raise."""

    @property
    def watchers(self) -> int:
        """For how many readers it listens."""

    def offer(self, event: Received) -> None:
        """Take the event, or note that it was missed."""


class Broadcast:
    """Passes each event to all listeners, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}

    @property
    def watchers(self) -> int:
        """Number of readers."""
        return sum(listener.watchers for listener in self._listeners)

    def add(self, listener: Listener) -> None:
        """From now on ``listener`` gets the events."""
        self._listeners[listener] = None

    def remove(self, listener: Listener) -> None:
        """Remove ``listener``: it gets no further event."""
        self._listeners.pop(listener, None)

    def send(self, event: Received) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            listener.offer(event)


# Replayed from memory at a time: one chunk to send, small beside a socket's patience.
_REPLAY_BYTES = 1024 * 1024


class Front(Protocol):
    """Up to where one can catch up: the end of the log, or the place where a group of readers stands."""

    @property
    def last_seq(self) -> int:
        """Number of the last line up to there. Invariant: a batch ends with it."""

    @property
    def status(self) -> StatusChange | None:
        """The state there."""

    @property
    def end(self) -> End | None:
        """The preview's end, once published."""


class Feed(Front, Protocol):
    """Interface of a preview's log for a cursor."""

    preview_id: str
    backlog: Backlog
    broadcast: Broadcast
    store: LogStore

    async def settle(self, seq: int) -> None:
        """Wait until no line up to ``seq`` is on its way to the database.

        Cancellation: nothing changes.
        """


class Position(NamedTuple):
    """A front that stays where it is."""

    last_seq: int
    status: StatusChange | None
    end: End | None


class Cursor:
    """One reader's place in a log.

    Args:
        start: Number of the first line wanted.

    Attributes:
        next_seq: Number of the first line not yet given out.
        ended: ``End`` was given out: nothing follows.
    """

    __slots__ = ("_feed", "_status", "ended", "next_seq")

    def __init__(self, feed: Feed, *, start: int) -> None:
        self._feed = feed
        self.next_seq = start
        self.ended = False
        self._status: StatusChange | None = None

    def stands_at(self, front: Front) -> bool:
        """Return whether everything up to there was delivered, and nothing after it."""
        return (
            self.next_seq == front.last_seq + 1
            and (front.status is None or front.status is self._status)
            and (front.end is None or self.ended)
        )

    def jump_to(self, front: Front) -> None:
        """All up to there was given out in another way."""
        self.next_seq = front.last_seq + 1
        self._status = front.status
        self.ended = self.ended or front.end is not None

    def note(self, event: Received) -> None:
        """Note an event that is about to be delivered."""
        if isinstance(event, StatusChange):
            self._status = event
        elif isinstance(event, End):
            self.ended = True
        else:
            self.next_seq = event.last_seq + 1

    async def catch_up(self, front: Front, pages: SharedPages | None = None) -> list[Received]:
        """Return the next part before ``front``; everything was delivered once the cursor is there.

        Args:
            front: Where to stop.
            pages: Those of the others who are behind.

        Raises:
            DatabaseUnavailable: Lines that have left memory cannot be read now; a later call goes on at the same line.

        Cancellation: nothing is lost; a later call goes on at the same line.
        """
        feed = self._feed
        events: list[Received] = []
        if self.next_seq < feed.backlog.first_seq:
            below = min(feed.backlog.first_seq, front.last_seq + 1)
            await settled(feed.settle(below - 1), feed.preview_id)
            read = read_events if pages is None else pages.read
            events += await read(feed.store, feed.preview_id, expected=self.next_seq, below=below)
        else:
            await trio.lowlevel.checkpoint()
            if self.next_seq < feed.backlog.first_seq:
                return []
            found = feed.backlog.after(self.next_seq - 1, max_bytes=_REPLAY_BYTES)
            events += [batch for batch in found if batch.first_seq <= front.last_seq]
        # No await from here on.
        if front.status is not None and front.status is not self._status:
            events.insert(0, front.status)
        for event in events:
            self.note(event)
        if self.next_seq > front.last_seq and front.end is not None:
            events.append(front.end)
            self.ended = True
        return events
