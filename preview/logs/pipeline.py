"""The log of one preview: bytes in, numbered lines out to the backlog, the subscribers and the writer."""

from __future__ import annotations

from collections.abc import Callable

import trio

from preview.core.clock import now_ms
from preview.logs.delivery.backlog import Backlog, Broadcast, Cursor
from preview.logs.delivery.subscription import Subscription
from preview.logs.ingest.framing import LineFramer
from preview.logs.ingest.reader import CoalescingDelay, OutputRateLimiter, read_lines
from preview.logs.ingest.recognise import Recogniser
from preview.logs.model.batch import Batch
from preview.logs.model.events import (
    STARTUP_PHASE,
    End,
    Level,
    LogLine,
    Requests,
    StatusChange,
    system_mark,
    take_requests,
)
from preview.logs.storage.store import LogStore
from preview.logs.storage.writer import LogWriter
from preview.settings import Settings

# A pause ends in the first turn of the loop, or a pipe is found readable; in the second it is read; then it is known.
_READ_TURNS = 3


class PreviewLog:
    """Owned by the preview's supervisor, which calls ``finish`` in the end, whatever happened.

    Numbers are dense from 1 and given once, in ``_publish`` alone. Nothing here waits for a subscriber or the database.

    Args:
        preview_id: Whose log; its row exists already.
        store: Serves subscribers that need lines which have left memory.

    Attributes:
        backlog: The newest lines.
        broadcast: The subscribers.
        last_seq: Number of the newest line; 0 before the first.
        status: The newest change of state.
        end: How the preview ended; None while it lives.
    """

    def __init__(self, preview_id: str, *, settings: Settings, writer: LogWriter, store: LogStore) -> None:
        self.preview_id = preview_id
        self.store = store
        self.backlog = Backlog(max_lines=settings.max_log_lines, max_bytes=settings.backlog_bytes)
        self.broadcast = Broadcast()
        self._settings = settings
        self._writer = writer
        self.last_seq = 0
        self._ready = False
        # Of what is read now: one stream, or two while a process takes over from another.
        self._paces: dict[trio.abc.ReceiveStream, OutputRateLimiter] = {}
        self._gathers: set[CoalescingDelay] = set()
        self.status: StatusChange | None = None
        self.end: End | None = None

    @property
    def subscriber_count(self) -> int:
        """Number of current subscribers."""
        return self.broadcast.watchers

    @property
    def lost_lines(self) -> int:
        """Number of lines that could not be stored so far."""
        return self._writer.lost_lines(self.preview_id)

    def last_lines(self, n: int, level: Level | None = None) -> list[LogLine]:
        """Return the last ``n`` lines in memory, oldest first; with ``level`` only those at least that severe."""
        return self.backlog.last_lines(n, level)

    def say(self, message: str, level: Level = Level.INFO) -> None:
        """Publish a line of the service itself; several, if ``message`` has line ends.

        Treated as the child's are: bounded and disarmed. Nothing is said after the end.
        """
        framer = LineFramer(self._settings.max_line_bytes)
        lines = framer.feed(message.encode("utf-8", "replace")) + framer.flush()
        self._publish(lines, bytes([system_mark(level, ready=self._ready)]) * len(lines))

    async def read_output(
        self,
        stream: trio.abc.ReceiveStream,
        held: Callable[[], None] | None = None,
        published: Callable[[range], None] | None = None,
    ) -> None:
        """Publish what the child prints, until the stream ends; an unfinished last line too.

        Args:
            stream: Where receiving can be cancelled without losing bytes (pipes and memory streams).
            held: Called once, when the child prints faster than it may for the first time: from then on it is read
                later, and has to wait.
            published: Called with the numbers of its lines.

        Cancellation: what was read so far is published, the unfinished line too.
        """
        # Each its own: what a line means depends on those before it.
        recogniser = Recogniser()
        framer = LineFramer(self._settings.max_line_bytes, marks=True)

        def publish(lines: list[str]) -> None:
            first = self.last_seq + 1
            requests = take_requests(lines) if framer.has_marks else None
            self._publish_output(lines, recogniser, requests)
            if published is not None and self.last_seq >= first:
                published(range(first, self.last_seq + 1))

        self._paces[stream] = pace = OutputRateLimiter(self._settings.output_bytes_per_s, held)
        gather = CoalescingDelay()
        self._gathers.add(gather)
        try:
            await read_lines(stream, framer, publish, pace, gather)
        finally:
            del self._paces[stream]
            self._gathers.discard(gather)

    async def read_on(self) -> None:
        """Let what is in the child's pipes by now be read: one round of it, if it prints no faster than it may.

        Cancellation: nothing changes.
        """
        for gather in self._gathers:
            gather.end()
        for _ in range(_READ_TURNS):
            await trio.lowlevel.checkpoint()

    def hurry(self, stream: trio.abc.ReceiveStream) -> None:
        """Read what is left of a child's output without a pause: it has ended."""
        if stream in self._paces:
            self._paces[stream].hurry()
            for gather in self._gathers:
                gather.end()

    async def read_rest(self, stream: trio.abc.ReceiveStream, ended: trio.Event, within_s: float) -> None:
        """Let what an ended child has left in its pipe be read.

        Where the loop itself is late, the time may be over before the reader had its turn: it has some all the same.

        Args:
            stream: As of ``read_output``.
            ended: Set when that has returned.
            within_s: The longest wait: somebody else may keep the pipe open.

        Cancellation: nothing changes.
        """
        self.hurry(stream)
        with trio.move_on_after(within_s):
            await ended.wait()
        if not ended.is_set():
            await self.read_on()

    def mark_ready(self) -> None:
        """Mark the preview as ready: later lines no longer belong to the start-up."""
        self._ready = True

    def publish_status(self, change: StatusChange) -> None:
        """Send it to the subscribers, new ones first. Nothing is sent after the end."""
        if self.end is None:
            self.status = change
            self.broadcast.send(change)

    def finish(self, end: End) -> None:
        """Finish the log: subscribers get ``end`` as their last event. The first call counts."""
        if self.end is None:
            self.end = end
            self.broadcast.send(end)
            self._writer.close(self.preview_id)

    def subscribe(self, *, after: int | None = None, tail: int | None = None) -> Subscription:
        """Subscribe; use it with ``with``. Its first event is the current state, then lines follow.

        Args:
            after: The last line known already: goes on right behind it. A number that was not given yet is from an
                earlier preview: then from line 1.
            tail: The last so many lines, then on. Without either, from line 1.
        """
        return Subscription(
            self,
            self.cursor(after=after, tail=tail),
            channel_batches=self._settings.subscriber_batches,
            channel_bytes=self._settings.backlog_bytes,
        )

    def cursor(self, *, after: int | None = None, tail: int | None = None) -> Cursor:
        """Return a reader's cursor, like ``subscribe``."""
        start = 1
        if after is not None:
            start = after + 1 if 0 <= after <= self.last_seq else 1
        elif tail is not None:
            start = max(1, self.last_seq - tail + 1)
        return Cursor(self, start=start)

    async def settle(self, seq: int) -> None:
        """Wait until no line up to ``seq`` is on its way to the database.

        Cancellation: nothing changes.
        """
        await self._writer.flush(self.preview_id, up_to=seq)

    def _publish_output(self, lines: list[str], recogniser: Recogniser, requests: Requests | None = None) -> None:
        marks = recogniser.marks(lines)
        self._publish(lines, marks if self._ready else marks.translate(STARTUP_PHASE), requests)

    def _publish(self, lines: list[str], marks: bytes, requests: Requests | None = None) -> None:
        if not lines or self.end is not None:
            return
        batch = Batch(self.preview_id, self.last_seq + 1, [now_ms()] * len(lines), marks, lines, requests)
        self.last_seq = batch.last_seq
        self.backlog.append(batch)
        self._writer.offer(batch)
        self.broadcast.send(batch)
