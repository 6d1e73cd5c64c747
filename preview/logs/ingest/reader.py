"""The loop that reads a child's output: bounded work per round, and a look at the clock for unfinished lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from preview.logs.ingest.framing import LineFramer

# What a child prints line by line is read at most this often: a line wakes up everything behind the reader, and twenty
# lines do no more than that. The first one after such a silence is read at once.
_GATHER_S = 0.003
# A child that prints more than this meanwhile is read without a pause: its pipe would fill, and it would have to wait.
_GATHER_BYTES = 16 * 1024


class CoalescingDelay:
    """The pauses of one reader; a task that wants all that was printed until now ends the current one."""

    def __init__(self) -> None:
        self._wanted: trio.Event | None = None
        self._read_at = trio.current_time()

    def after(self, count: int) -> float:
        """Note ``count`` bytes read; for how many seconds to let lines gather now."""
        since_s, self._read_at = trio.current_time() - self._read_at, trio.current_time()
        return _GATHER_S if count < _GATHER_BYTES * min(1.0, since_s / _GATHER_S) else 0.0

    async def wait(self, seconds: float) -> None:
        """Let the time pass, or be ended by ``end``. Cancellation: nothing changes."""
        self._wanted = trio.Event()
        with trio.move_on_after(seconds):
            await self._wanted.wait()
        self._wanted = None

    def end(self) -> None:
        """Let the reader go on at once, if it pauses."""
        if self._wanted is not None:
            self._wanted.set()


# A start-up may print more at once than it goes on printing: so many seconds' worth are read without a pause.
_AVERAGED_S = 5.0
# One read is no more than a tenth of a second's worth, so that no pause is much longer.
_READS_PER_S = 10
_LEAST_READ_BYTES = 512


class OutputRateLimiter:
    """A bucket that fills at the rate, and holds some seconds of it.

    Args:
        bytes_per_s: The rate.
        held: Called once, when the child is held back for the first time.
    """

    def __init__(self, bytes_per_s: int, held: Callable[[], None] | None = None) -> None:
        self._bytes_per_s = bytes_per_s
        self._held = held
        self._room_bytes = _AVERAGED_S * bytes_per_s
        self._filled_at = trio.current_time()
        self._hurry = trio.Event()

    @property
    def read_bytes(self) -> int:
        """The most that may be read at once."""
        return max(_LEAST_READ_BYTES, self._bytes_per_s // _READS_PER_S)

    def hurry(self) -> None:
        """Hold nothing back any more: the child has ended, and what is in its pipe is all there will be."""
        self._hurry.set()

    @property
    def hurries(self) -> bool:
        """True after ``hurry`` was called."""
        return self._hurry.is_set()

    def take(self, count: int) -> float:
        """Note ``count`` bytes read; for how many seconds to read no more."""
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
        """Let the time pass, unless there is a hurry. Cancellation: nothing changes."""
        with trio.move_on_after(seconds):
            await self._hurry.wait()


# One round: what a Linux pipe holds (pipe(7)). 1,000 lines or so, 2 ms of work, then all other tasks have their turn.
_CHUNK_BYTES = 64 * 1024
# A chunk of very short lines holds far more of them; then others have their turn in between.
_TURN_LINES = 2000
# An unfinished line (a prompt) is published when nothing was added for this long …
_SILENCE_S = 0.2
# … or when it has grown for this long.
_PATIENCE_S = 1.0
_LATE_S = 0.05


async def read_lines(
    stream: trio.abc.ReceiveStream,
    framer: LineFramer,
    publish: Callable[[list[str]], None],
    pace: OutputRateLimiter | None = None,
    gather: CoalescingDelay | None = None,
) -> None:
    """Pass the lines of ``stream`` to ``publish``, at most those of one read at a time, until it ends or breaks.

    An unfinished line is published as it is when nothing more comes for a while; what follows is a line of its own.

    Args:
        stream: Where receiving can be cancelled without losing bytes.
        framer: Fresh.
        publish: Must not raise.
        pace: How fast to read; None as fast as it comes.
        gather: Its pauses, for who wants to end them; None are its own.

    Cancellation: what was read is published, the unfinished line too.
    """
    pending_since, gather = trio.current_time(), gather or CoalescingDelay()
    lines: list[str] = []
    read_bytes = _CHUNK_BYTES if pace is None else min(_CHUNK_BYTES, pace.read_bytes)
    try:
        while True:
            now = trio.current_time()
            deadline = max(now, min(now + _SILENCE_S, pending_since + _PATIENCE_S)) if framer.has_pending else math.inf
            chunk: bytes | bytearray | None = None
            with trio.CancelScope(deadline=deadline):
                chunk = await stream.receive_some(read_bytes)
            if chunk is None:
                # A late wake-up says nothing about the child: the rest may be in the pipe already.
                if trio.current_time() < deadline + _LATE_S:
                    publish(framer.flush(final=False))
                pending_since = trio.current_time()
                continue
            if not chunk:
                return
            lines = framer.feed(bytes(chunk))
            if lines or not framer.has_pending:
                pending_since = trio.current_time()
            while lines:
                publish(lines[:_TURN_LINES])
                del lines[:_TURN_LINES]
                if lines:
                    await trio.lowlevel.checkpoint()
            pause_s, gather_s = 0.0 if pace is None else pace.take(len(chunk)), gather.after(len(chunk))
            if pace is not None and pause_s > gather_s:
                await pace.wait(pause_s)
            elif gather_s and not (pace is not None and pace.hurries):
                await gather.wait(gather_s)
    except trio.BrokenResourceError:
        # The other end is gone in a way that is no clean end of file; there is nothing more to read.
        return
    finally:
        lines += framer.flush()
        for start in range(0, len(lines), _TURN_LINES):
            publish(lines[start : start + _TURN_LINES])
