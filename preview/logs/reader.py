"""The loop that reads a child's output: bounded work per round, and a look at the clock for unfinished lines."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from preview.logs.framing import LineFramer
from preview.logs.pace import OutputPace

__all__ = ["read_lines"]

# One round: what a Linux pipe holds (pipe(7)). 1,000 lines or so, 2 ms of work, then all other tasks have their turn.
_CHUNK_BYTES = 64 * 1024
# A chunk of very short lines holds far more of them; then others have their turn in between.
_TURN_LINES = 2000
# An unfinished line (a prompt) is published when nothing was added for this long …
_SILENCE_S = 0.2
# … or when it has grown for this long.
_PATIENCE_S = 1.0
_LATE_S = 0.05
# What a child prints line by line is read at most this often: a line wakes up everything behind the reader, and twenty
# lines do no more than that. The first one after such a silence is read at once.
_GATHER_S = 0.003
# A child that prints more than this meanwhile is read without a pause: its pipe would fill, and it would have to wait.
_GATHER_BYTES = 16 * 1024


async def read_lines(
    stream: trio.abc.ReceiveStream,
    framer: LineFramer,
    publish: Callable[[list[str]], None],
    pace: OutputPace | None = None,
) -> None:
    """Pass the lines of ``stream`` to ``publish``, at most those of one read at a time, until it ends or breaks.

    An unfinished line is published as it is when nothing more comes for a while; what follows is a line of its own.

    Args:
        stream: Where receiving can be cancelled without losing bytes.
        framer: Fresh.
        publish: Must not raise.
        pace: How fast to read; None as fast as it comes.

    Cancellation: what was read is published, the unfinished line too.
    """
    pending_since = read_at = trio.current_time()
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
            since_s, read_at = trio.current_time() - read_at, trio.current_time()
            pause_s = 0.0 if pace is None else pace.take(len(chunk))
            if len(chunk) < _GATHER_BYTES * min(1.0, since_s / _GATHER_S):
                pause_s = max(pause_s, _GATHER_S)
            if pause_s:
                await _wait(pause_s, pace)
    except trio.BrokenResourceError:
        # The other end is gone in a way that is no clean end of file; there is nothing more to read.
        return
    finally:
        lines += framer.flush()
        for start in range(0, len(lines), _TURN_LINES):
            publish(lines[start : start + _TURN_LINES])


async def _wait(seconds: float, pace: OutputPace | None) -> None:
    if pace is None:
        await trio.sleep(seconds)
    else:
        await pace.wait(seconds)
