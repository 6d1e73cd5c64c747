"""When a preview has to end by itself: expiry and inactivity, as exact deadlines on trio's clock."""

from __future__ import annotations

from types import TracebackType

import trio

from preview.core.lifecycle import StopCause


class Hold:
    """Something open that counts as activity; a context manager, without the cost of a generator."""

    __slots__ = ("_deadlines",)

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines

    def __enter__(self) -> None:
        self._deadlines.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.end()


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
        # It has no state of its own: one for all of them.
        self._hold = Hold(self)
        self._changed = trio.Event()

    def touch(self) -> None:
        """Note activity now. Cheap: the waiting task looks again when its old deadline comes."""
        self._active_at = trio.current_time()

    def hold(self) -> Hold:
        """Count as active for as long as this is open."""
        return self._hold

    def begin(self) -> None:
        """Something that counts as activity has started."""
        self._held += 1

    def end(self) -> None:
        """It has ended. As ``touch`` it wakes nobody: thousands of requests may end in a second."""
        self._held -= 1
        self._active_at = trio.current_time()

    def extend_to(self, expires_at: float) -> None:
        """Move the expiry (trio time)."""
        self.expires_at = expires_at
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self) -> StopCause:
        """Wait until one of them has passed, and say which. Cancellation: nothing changes."""
        while True:
            now = trio.current_time()
            if now >= self.expires_at:
                return StopCause.EXPIRED
            if not self._held and now >= self._active_at + self._inactive_s:
                return StopCause.INACTIVE
            # What is open now may end at once, and wakes nobody then.
            look_at = (now if self._held else self._active_at) + self._inactive_s
            changed = self._changed
            with trio.move_on_at(min(self.expires_at, look_at)):
                await changed.wait()
