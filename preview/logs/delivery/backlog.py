"""The newest batches of one preview, in a ring bounded by lines and by bytes; and the cursors that read them."""

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

    Invariant: the batches are dense, so the backlog has exactly the lines from ``first_seq`` to the last one appended.
    The newest batch stays even if it alone exceeds a limit; one read bounds its size.
    """

    def __init__(self, *, max_lines: int, max_bytes: int) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._batches: deque[Batch] = deque()
        self._lines = 0
        self._bytes = 0
        # The first line, while there is no batch.
        self._start = 1

    @property
    def size_bytes(self) -> int:
        """Upper bound of the batches' size (see ``Batch.held_bytes``)."""
        return self._bytes

    def __len__(self) -> int:
        """Return the number of lines."""
        return self._lines

    @property
    def first_seq(self) -> int:
        """Number of the oldest line in the backlog; while it is empty, of the line that comes first."""
        return self._batches[0].first_seq if self._batches else self._start

    def restart(self, first_seq: int) -> None:
        """Drop all lines: the next one that is appended has this number, and earlier ones are read elsewhere."""
        self._batches.clear()
        self._lines = self._bytes = 0
        self._start = first_seq

    def append(self, batch: Batch) -> None:
        """Append the batch that follows the last one; drop the oldest batches that exceed a limit."""
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
            seq: Number of the last line that the caller has.
            max_bytes: Stop at this size, as sent; returns at least one batch if there is one.
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
        """Return the last ``count`` lines, oldest first; with ``level``, only lines at least that severe."""
        found: list[LogLine] = []
        for batch in reversed(self._batches):
            for line in reversed(batch.lines):
                if len(found) >= count:
                    return found[::-1]
                if level is None or line.level >= level:
                    found.append(line)
        return found[::-1]

    def find(self, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool) -> list[LogLine]:
        """Return up to ``limit`` matching lines of ``first`` to ``last``, oldest first; ``newest`` picks the end."""
        found: list[LogLine] = []
        start, stop = self._position(first - 1), min(self._position(last) + 1, len(self._batches))
        for at in range(stop - 1, start - 1, -1) if newest else range(start, stop):
            batch = self._batches[at]
            positions = chosen.positions(batch.columns)
            for index in reversed(positions) if newest else positions:
                if len(found) >= limit:
                    break
                if first <= batch.first_seq + index <= last:
                    found.append(batch.line_at(index))
        return found[::-1] if newest else found

    def _position(self, seq: int) -> int:
        """Return the index of the first batch with a line after ``seq``."""
        return bisect_right(self._batches, seq, key=lambda batch: batch.last_seq)


class Listener(Protocol):
    """Receives each event as it happens; must not wait and must not raise."""

    @property
    def watchers(self) -> int:
        """Number of readers that this listener serves."""

    def offer(self, event: Received) -> None:
        """Take the event, or record that it was missed."""


class Broadcast:
    """Passes each event to all listeners, in order."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}

    @property
    def watchers(self) -> int:
        """Number of readers."""
        return sum(listener.watchers for listener in self._listeners)

    def add(self, listener: Listener) -> None:
        """Add ``listener``, which receives all events from now on."""
        self._listeners[listener] = None

    def remove(self, listener: Listener) -> None:
        """Remove ``listener``, which receives no further event."""
        self._listeners.pop(listener, None)

    def send(self, event: Received) -> None:
        """Send the event to all listeners."""
        for listener in self._listeners:
            listener.offer(event)


# Maximum size of one replay from memory: one chunk to send, small enough for a slow socket.
_REPLAY_BYTES = 1024 * 1024


class Front(Protocol):
    """A position that a cursor catches up to: the end of the log, or the position of a group of readers."""

    @property
    def last_seq(self) -> int:
        """Number of the last line before the position. Invariant: a batch ends with this line."""

    @property
    def status(self) -> StatusChange | None:
        """State at the position."""

    @property
    def end(self) -> End | None:
        """The preview's end, once published."""


class Feed(Front, Protocol):
    """A preview's log, as a cursor needs it."""

    preview_id: str
    backlog: Backlog
    broadcast: Broadcast
    store: LogStore

    async def settle(self, seq: int) -> None:
        """Wait until no line up to ``seq`` is queued for the database.

        Cancellation: nothing changes.
        """


class Position(NamedTuple):
    """A fixed front."""

    last_seq: int
    status: StatusChange | None
    end: End | None


class Cursor:
    """One reader's position in a log.

    Args:
        start: Number of the first line to deliver.

    Attributes:
        next_seq: Number of the first line not yet delivered.
        ended: True after ``End`` was delivered; nothing follows.
    """

    __slots__ = ("_feed", "_status", "ended", "next_seq")

    def __init__(self, feed: Feed, *, start: int) -> None:
        self._feed = feed
        self.next_seq = start
        self.ended = False
        self._status: StatusChange | None = None

    def stands_at(self, front: Front) -> bool:
        """Return True if everything up to ``front`` was delivered, and nothing after it."""
        return (
            self.next_seq == front.last_seq + 1
            and (front.status is None or front.status is self._status)
            and (front.end is None or self.ended)
        )

    def jump_to(self, front: Front) -> None:
        """Move to ``front``, as everything before it was delivered in another way."""
        self.next_seq = front.last_seq + 1
        self._status = front.status
        self.ended = self.ended or front.end is not None

    def note(self, event: Received) -> None:
        """Record an event that is about to be delivered."""
        if isinstance(event, StatusChange):
            self._status = event
        elif isinstance(event, End):
            self.ended = True
        else:
            self.next_seq = event.last_seq + 1

    async def catch_up(self, front: Front, pages: SharedPages | None = None) -> list[Received]:
        """Return the next events before ``front``; once the cursor is there, everything was delivered.

        Args:
            front: Position to stop at.
            pages: Pages shared with other readers that catch up.

        Raises:
            DatabaseUnavailable: Older lines cannot be read now; a later call continues at the same line.

        Cancellation: nothing is lost; a later call continues at the same line.
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
