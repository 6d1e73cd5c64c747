"""When a preview has to end by itself: expiry and inactivity, as exact deadlines on trio's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from preview.lifecycle import StopCause

__all__ = ["Deadlines"]


class Deadlines:
    """The two deadlines of one preview. Trio's clock never jumps, so a changed wall clock ends nothing early.

    Args:
        life_s: Seconds until expiry, from now.
        inactive_s: Seconds without a request and without an open stream after which it ends.
    """

    def __init__(self, *, life_s: float, inactive_s: float) -> None:
        now = trio.current_time()
        self.expires_at = now + life_s
        self._inactive_s = inactive_s
        self._active_at = now
        # Invariant: while a stream is open the preview is active, whatever the time.
        self._held = 0
        self._changed = trio.Event()

    def touch(self) -> None:
        """Note activity now. Cheap: the waiting task looks again when its old deadline comes."""
        self._active_at = trio.current_time()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Count as active for as long as this is open."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.touch()
            self._wake()

    def extend_to(self, expires_at: float) -> None:
        """Move the expiry (trio time)."""
        self.expires_at = expires_at
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    @property
    def _idle_at(self) -> float:
        return float("inf") if self._held else self._active_at + self._inactive_s

    async def wait(self) -> StopCause:
        """Wait until one of them has passed, and say which. Cancellation: nothing changes."""
        while True:
            now = trio.current_time()
            if now >= self.expires_at:
                return StopCause.EXPIRED
            if now >= self._idle_at:
                return StopCause.INACTIVE
            changed = self._changed
            with trio.move_on_at(min(self.expires_at, self._idle_at)):
                await changed.wait()
