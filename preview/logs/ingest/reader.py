"""The loop that reads a process's output, with bounded work per round and a timeout for unfinished lines."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from preview.logs.ingest.framing import LineFramer

# Minimum time between reads of a process that prints line by line. One line wakes the whole pipeline behind the reader,
# and twenty lines together cost no more. The first line after such a pause is read at once.
_GATHER_S = 0.003
# A process that prints more than this in that time is read without a pause, or it would block on its full pipe.
_GATHER_BYTES = 16 * 1024


class CoalescingDelay:
    """Pauses of one reader. A task that needs all output so far can end the current pause.

    Attributes:
        read_bytes: Number of bytes read so far.
        is_publishing: Some lines of the last read are not published yet.
    """

    def __init__(self) -> None:
        self.read_bytes = 0
        self.is_publishing = False
        self._wanted: trio.Event | None = None
        self._read_at = trio.current_time()

    def after(self, count: int) -> float:
        """Record ``count`` bytes read; return how many seconds to pause so that lines coalesce."""
        since_s, self._read_at = trio.current_time() - self._read_at, trio.current_time()
        return _GATHER_S if count < _GATHER_BYTES * min(1.0, since_s / _GATHER_S) else 0.0

    async def wait(self, seconds: float) -> None:
        """Pause, until ``end`` is called. Cancellation: nothing changes."""
        self._wanted = trio.Event()
        with trio.move_on_after(seconds):
            await self._wanted.wait()
        self._wanted = None

    def end(self) -> None:
        """End the current pause, if any."""
        if self._wanted is not None:
            self._wanted.set()


# A process may print a burst at its start: this many seconds' worth of output are read without a pause.
_AVERAGED_S = 5.0
# One read is at most a tenth of a second's worth of output, so that pauses stay short.
_READS_PER_S = 10
_LEAST_READ_BYTES = 512


class OutputRateLimiter:
    """A token bucket that holds some seconds' worth of bytes.

    Args:
        bytes_per_s: The rate.
        held: Called once, when the process is throttled for the first time.
    """

    def __init__(self, bytes_per_s: int, held: Callable[[], None] | None = None) -> None:
        self._bytes_per_s = bytes_per_s
        self._held = held
        self._room_bytes = _AVERAGED_S * bytes_per_s
        self._filled_at = trio.current_time()
        self._hurry = trio.Event()

    @property
    def read_bytes(self) -> int:
        """Maximum number of bytes to read at once."""
        return max(_LEAST_READ_BYTES, self._bytes_per_s // _READS_PER_S)

    def hurry(self) -> None:
        """Stop throttling: the process has ended, and only the rest of its pipe is left."""
        self._hurry.set()

    @property
    def hurries(self) -> bool:
        """True after ``hurry`` was called."""
        return self._hurry.is_set()

    def take(self, count: int) -> float:
        """Record ``count`` bytes read; return how many seconds to pause."""
        now = trio.current_time()
        full = _AVERAGED_S * self._bytes_per_s
        self._room_bytes = min(full, self._room_bytes + (now - self._filled_at) * self._bytes_per_s) - count
        self._filled_at = now
        if self._room_bytes >= 0 or self._hurry.is_set():
            return 0.0
        if self._held is not None:
            self._held()
            self._held = None
        return -self._room_bytes / self._bytes_per_s

    async def wait(self, seconds: float) -> None:
        """Pause, until ``hurry`` is called. Cancellation: nothing changes."""
        with trio.move_on_after(seconds):
            await self._hurry.wait()


# One round reads the capacity of a Linux pipe (pipe(7)): some 1,000 lines, 2 ms of work. Then other tasks get a turn.
PIPE_BYTES = 64 * 1024
# A chunk of very short lines has far more lines; other tasks get a turn after this many.
_TURN_LINES = 2000
# An unfinished line (a prompt) is published after this long without further output …
_SILENCE_S = 0.2
# … or after it has been growing for this long.
_PATIENCE_S = 1.0
_LATE_S = 0.05


async def read_lines(
    stream: trio.abc.ReceiveStream,
    framer: LineFramer,
    publish: Callable[[list[str]], None],
    pace: OutputRateLimiter | None = None,
    gather: CoalescingDelay | None = None,
    published: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Pass the lines of ``stream`` to ``publish`` until the stream ends or breaks; at most those of one read at a time.

    An unfinished line is published if nothing follows for a while; later output starts a new line.

    Args:
        stream: Cancelling its receive must not lose bytes.
        framer: A new framer.
        publish: Must not raise.
        pace: Limits the rate; None means no limit.
        gather: Its pauses can be ended by the caller; None creates one.
        published: Called after the lines of a read; nothing more is read before it returns.

    Cancellation: everything read is published, including an unfinished line.
    """
    pending_since, gather = trio.current_time(), gather or CoalescingDelay()
    lines: list[str] = []
    read_bytes = PIPE_BYTES if pace is None else min(PIPE_BYTES, pace.read_bytes)
    try:
        while True:
            now = trio.current_time()
            deadline = max(now, min(now + _SILENCE_S, pending_since + _PATIENCE_S)) if framer.has_pending else math.inf
            chunk: bytes | bytearray | None = None
            with trio.CancelScope(deadline=deadline):
                chunk = await stream.receive_some(read_bytes)
            if chunk is None:
                # After a late wake-up (a busy loop) the rest may already be in the pipe: read before publishing.
                if trio.current_time() < deadline + _LATE_S:
                    publish(framer.flush(final=False))
                pending_since = trio.current_time()
                continue
            if not chunk:
                return
            gather.read_bytes += len(chunk)
            lines = framer.feed(bytes(chunk))
            if lines or not framer.has_pending:
                pending_since = trio.current_time()
            while lines:
                publish(lines[:_TURN_LINES])
                del lines[:_TURN_LINES]
                gather.is_publishing = bool(lines)
                if lines:
                    await trio.lowlevel.checkpoint()
            if published is not None:
                await published()
            pause_s, gather_s = 0.0 if pace is None else pace.take(len(chunk)), gather.after(len(chunk))
            if pace is not None and pause_s > gather_s:
                await pace.wait(pause_s)
            elif gather_s and not (pace is not None and pace.hurries):
                await gather.wait(gather_s)
    except trio.BrokenResourceError:
        # The other end broke without a clean end of file; nothing is left to read.
        return
    finally:
        lines += framer.flush()
        for start in range(0, len(lines), _TURN_LINES):
            publish(lines[start : start + _TURN_LINES])
