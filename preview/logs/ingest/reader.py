"""The loop that reads a child's output: bounded work per round, and a look at the clock for unfinished lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from preview.logs.ingest.coalescing import CoalescingDelay
from preview.logs.ingest.framing import LineFramer
from preview.logs.ingest.rate_limit import OutputRateLimiter

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
