"""How fast a child may print: an average over some seconds, kept by reading later, which makes its pipe full."""

from __future__ import annotations

from collections.abc import Callable

import trio

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
        """Whether ``hurry`` was called."""
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
