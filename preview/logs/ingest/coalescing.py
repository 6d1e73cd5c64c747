"""The short pauses in which the lines of a child gather, to be read together."""

from __future__ import annotations

import trio

# What a child prints line by line is read at most this often: a line wakes up everything behind the reader, and twenty
# lines do no more than that. The first one after such a silence is read at once.
_GATHER_S = 0.003
# A child that prints more than this meanwhile is read without a pause: its pipe would fill, and it would have to wait.
_GATHER_BYTES = 16 * 1024


class CoalescingDelay:
    """The pauses of one reader; whoever wants to know all that was printed until now ends the one that is on."""

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
