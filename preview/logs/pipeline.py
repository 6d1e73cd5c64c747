"""The log of one preview: from output bytes to numbered lines for the backlog, the subscribers and the writer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import trio

from preview.core.clock import now_ms
from preview.logs.delivery.backlog import Backlog, Broadcast, Cursor
from preview.logs.delivery.subscription import Subscription
from preview.logs.ingest.framing import CONTINUES, LineFramer
from preview.logs.ingest.masking import SecretMask
from preview.logs.ingest.reader import PIPE_BYTES, CoalescingDelay, OutputRateLimiter, read_lines
from preview.logs.ingest.recognise import Recogniser
from preview.logs.model.batch import Batch
from preview.logs.model.events import (
    STARTUP_PHASE,
    End,
    Level,
    LogLine,
    Requests,
    StatusChange,
    reported_mark,
    system_mark,
    take_marks,
    to_stderr,
)
from preview.logs.model.frames import to_text
from preview.logs.model.numbers import Numbers
from preview.logs.model.reported import MOST_REPORTED_BYTES, ReportedLine, plausible_ms
from preview.logs.storage.store import LogStore
from preview.logs.storage.writer import LogWriter
from preview.settings import Settings

# Turns of the event loop: the pause ends or the pipe is found readable, the pipe is read, the lines are published.
_READ_TURNS = 3
# Reported lines that wait for numbers while the database does not respond; readers of output stop then.
_MOST_WAITING_LINES = 50_000
# Reads of a full pipe: each is a tenth of a second's output at most, 64 KiB with the default rate.
_MOST_READS = 8


class _Unnumbered(NamedTuple):
    """Lines that wait for numbers; see ``preview.logs.model.numbers``."""

    lines: list[str]
    stamps: list[int]
    marks: bytes
    requests: Requests | None
    published: Callable[[range], None] | None


class PreviewLog:
    """Log of one preview. Owned by the preview's supervisor, which calls ``finish`` at the end in any case.

    Numbers are dense from 1; only ``_publish`` and ``_go_on`` assign them. No method waits for a subscriber, and only
    ``settle`` and ``published`` wait for the database. In a cluster, lines may wait for their numbers.

    Args:
        preview_id: The preview; its row exists already.
        store: Reads lines that are no longer in memory, for subscribers.

    Attributes:
        backlog: The newest lines.
        broadcast: The subscribers.
        last_seq: Number of the newest line; 0 before the first.
        status: The newest state change.
        end: The preview's end; None while it lives.
    """

    def __init__(self, preview_id: str, *, settings: Settings, writer: LogWriter, store: LogStore) -> None:
        self.preview_id = preview_id
        self.store = store
        self.backlog = Backlog(max_lines=settings.max_log_lines, max_bytes=settings.backlog_bytes)
        self.broadcast = Broadcast()
        self._settings = settings
        self._mask = SecretMask(queries=settings.log_mask_secrets)
        self._writer = writer
        self.last_seq = 0
        self._unnumbered: deque[_Unnumbered] = deque()
        self._numbered = trio.lowlevel.ParkingLot()
        self._numbers = Numbers(self._newest, self._go_on)
        writer.open(preview_id, self._numbers)
        self._ready = False
        # By stream being read: one, or two while a process takes over from another.
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

    def begin(self, first_seq: int) -> None:
        """Begin at this number: earlier lines are those of another node. Call before the first line."""
        self.last_seq = first_seq - 1
        self._numbers.begin(first_seq, self._writer.free_numbers)

    def last_lines(self, n: int, level: Level | None = None) -> list[LogLine]:
        """Return the last ``n`` lines in memory, oldest first; with ``level``, only lines at least that severe."""
        return self.backlog.last_lines(n, level)

    def hide(self, secrets: Iterable[str], *, sent: bool = False) -> None:
        """Mask these values in later lines, unless the service's settings say not to; see ``SecretMask.add``."""
        if self._settings.log_mask_secrets:
            dropped = self._mask.dropped
            self._mask.add(secrets, sent=sent)
            if self._mask.dropped and not dropped:
                self.say("too many secrets: some are not masked in this log any more", Level.WARNING)

    def say(self, message: str, level: Level = Level.INFO, request_id: str | None = None) -> None:
        """Publish a line of the service itself, or several if ``message`` has line ends.

        Args:
            message: The text.
            level: Severity.
            request_id: The request that the lines are about; None if they are about none.

        The text is bounded and sanitised like a process's output. Does nothing after the end.
        """
        framer = LineFramer(self._settings.max_line_bytes, mask=self._mask)
        lines = framer.feed(message.encode("utf-8", "replace")) + framer.flush()
        requests = None if request_id is None else dict.fromkeys(range(len(lines)), request_id)
        self._publish(lines, bytes([system_mark(level, ready=self._ready)]) * len(lines), requests)

    def report(self, lines: Sequence[ReportedLine]) -> None:
        """Publish lines that the program reports besides its output. Does nothing after the end.

        Texts are masked and sanitised like output, and cut. Each line keeps its own time if that is plausible.
        """
        if self._newest() - self.last_seq + len(lines) > _MOST_WAITING_LINES:
            self._writer.lose(self.preview_id, len(lines))
            return
        now = now_ms()
        # In the order of time, as the database stores a batch.
        timed = sorted((plausible_ms(line.time_ms, now), at) for at, line in enumerate(lines))
        chosen = [lines[at] for _, at in timed]
        requests = {at: line.request_id for at, line in enumerate(chosen) if line.request_id is not None}
        self._publish(
            [self._reported(line.text) for line in chosen],
            bytes(reported_mark(line.level) for line in chosen),
            requests or None,
            [time_ms for time_ms, _ in timed],
        )

    def _reported(self, text: str) -> str:
        data = text.encode("utf-8", "replace")
        if self._mask.is_active:
            data = bytes(self._mask.masked(data))
        shown = to_text(data.replace(b"\r\n", b" ").replace(b"\r", b" ").replace(b"\n", b" ")).encode()
        if len(shown) <= MOST_REPORTED_BYTES:
            return shown.decode()
        return shown[:MOST_REPORTED_BYTES].decode("utf-8", "ignore") + CONTINUES

    async def read_output(
        self,
        stream: trio.abc.ReceiveStream,
        held: Callable[[], None] | None = None,
        published: Callable[[range], None] | None = None,
        *,
        name: str = "",
        bytes_per_s: int | None = None,
    ) -> None:
        """Publish a process's output until the stream ends, including an unfinished last line.

        Args:
            stream: Cancelling its receive must not lose bytes (pipes and memory streams).
            held: Called once, when the process first exceeds its output rate. From then on it is read more slowly, and
                blocks on its full pipe.
            published: Called with the numbers of the published lines.
            name: Name of the service that prints, before each line; empty for the preview's own program.
            bytes_per_s: The output rate; None for that of the settings.

        Cancellation: everything read so far is published, including an unfinished line; in a cluster, as soon as there
        are numbers for it.
        """
        # One per stream: the meaning of a line depends on the lines before it.
        recogniser = Recogniser()
        framer = LineFramer(self._settings.max_line_bytes, marks=True, mask=self._mask)

        def publish(lines: list[str]) -> None:
            requests, errors = take_marks(lines) if framer.has_marks else (None, ())
            self._publish_output(lines, recogniser, requests, errors, name, published)

        self._paces[stream] = pace = OutputRateLimiter(bytes_per_s or self._settings.output_bytes_per_s, held)
        gather = CoalescingDelay()
        self._gathers.add(gather)
        try:
            await read_lines(stream, framer, publish, pace, gather, self.published)
            await self.published()
        finally:
            del self._paces[stream]
            self._gathers.discard(gather)

    async def read_on(self) -> None:
        """Let the readers read and publish what is in the pipes now, unless the output rate is exceeded.

        A pipe that its program enlarged may contain more; the rest follows later.

        Cancellation: nothing changes.
        """
        starts = {gather: gather.read_bytes for gather in self._gathers}
        goes_on, rounds = True, 0
        while goes_on:
            before = {gather: gather.read_bytes for gather in self._gathers}
            for gather in before:
                gather.end()
            for _ in range(_READ_TURNS):
                await trio.lowlevel.checkpoint()
            rounds += 1
            # A program that goes on printing is not followed: neither beyond what its pipe contained, nor byte by byte.
            goes_on = any(
                gather.is_publishing
                or (rounds < _MOST_READS and before.get(gather, 0) < gather.read_bytes < start + PIPE_BYTES)
                for gather, start in starts.items()
                if gather in self._gathers
            )

    def hurry(self, stream: trio.abc.ReceiveStream) -> None:
        """Read the rest of an ended process's output without a pause."""
        if stream in self._paces:
            self._paces[stream].hurry()
            for gather in self._gathers:
                gather.end()

    async def read_rest(self, stream: trio.abc.ReceiveStream, ended: trio.Event, within_s: float) -> None:
        """Wait until the rest of an ended process's output is read.

        If the event loop itself is late, the deadline may pass before the reader has run; it gets its turns
        nevertheless.

        Args:
            stream: The stream given to ``read_output``.
            ended: Set when ``read_output`` has returned.
            within_s: Maximum wait in seconds, as another process may keep the pipe open.

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
        """Send a state change to the subscribers; later subscribers get it first. Does nothing after the end."""
        if self.end is None:
            self.status = change
            self.broadcast.send(change)

    def finish(self, end: End) -> None:
        """Finish the log: subscribers get ``end`` as their last event. Only the first call counts."""
        if self.end is None:
            self.end = end
            if self._unnumbered:
                self._writer.lose(self.preview_id, sum(len(one.lines) for one in self._unnumbered))
                self._unnumbered.clear()
            self._numbered.unpark_all()
            self._writer.shut(self.preview_id, self._numbers)
            self.broadcast.send(end)
            self._writer.close(self.preview_id)

    def subscribe(self, *, after: int | None = None, tail: int | None = None) -> Subscription:
        """Return a subscription; use it with ``with``. Its first event is the current state, then lines follow.

        Args:
            after: Number of the last line that the subscriber has. A number above ``last_seq`` belongs to an earlier
                preview: then the subscription starts at line 1.
            tail: Start with this many last lines. Without either argument the subscription starts at line 1.
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
        """Wait until no line up to ``seq`` is queued for the database.

        Cancellation: nothing changes.
        """
        await self._writer.flush(self.preview_id, up_to=seq)

    async def published(self) -> None:
        """Wait until no line waits for a number. Without such lines it returns at once, without a checkpoint.

        Cancellation: nothing changes.
        """
        while self._unnumbered:
            await self._numbered.park()

    def _publish_output(
        self,
        lines: list[str],
        recogniser: Recogniser,
        requests: Requests | None = None,
        errors: Sequence[int] = (),
        name: str = "",
        published: Callable[[range], None] | None = None,
    ) -> None:
        marks = recogniser.marks(lines)
        if name:
            lines = [f"{name} | {line}" for line in lines]
        if not self._ready:
            marks = marks.translate(STARTUP_PHASE)
        self._publish(lines, to_stderr(marks, errors) if errors else marks, requests, published=published)

    def _publish(
        self,
        lines: list[str],
        marks: bytes,
        requests: Requests | None = None,
        times: list[int] | None = None,
        published: Callable[[range], None] | None = None,
    ) -> None:
        if not lines or self.end is not None:
            return
        stamps, numbers = [now_ms()] * len(lines) if times is None else times, self._numbers
        if self.last_seq + len(lines) < numbers.before and not self._unnumbered:
            self._number(lines, stamps, marks, requests, published)
            if self.last_seq < numbers.low:
                return
        else:
            self._unnumbered.append(_Unnumbered(lines, stamps, marks, requests, published))
        self._writer.ask(self.preview_id)

    def _number(
        self,
        lines: list[str],
        stamps: list[int],
        marks: bytes,
        requests: Requests | None,
        published: Callable[[range], None] | None,
    ) -> None:
        first = self.last_seq + 1
        batch = Batch(self.preview_id, first, stamps, marks, lines, requests)
        last = self.last_seq = batch.last_seq
        self.backlog.append(batch)
        self._writer.offer(batch)
        self.broadcast.send(batch)
        if published is not None:
            published(range(first, last + 1))

    def _newest(self) -> int:
        """Return the newest number, as if no line waited for one."""
        return self.last_seq + sum(len(one.lines) for one in self._unnumbered)

    def _go_on(self) -> None:
        """Publish lines that have waited for numbers."""
        while self._unnumbered and self._newest_of_next() < self._numbers.before:
            self._number(*self._unnumbered.popleft())
        if self._unnumbered:
            self._writer.ask(self.preview_id)
        else:
            self._numbered.unpark_all()

    def _newest_of_next(self) -> int:
        return self.last_seq + len(self._unnumbered[0].lines)
