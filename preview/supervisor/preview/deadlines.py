"""Deadlines of a preview: expiry and inactivity, exact on trio's clock."""

from __future__ import annotations

from collections import deque
from types import TracebackType

import trio

from preview.core.clock import wait_any
from preview.core.lifecycle import StopCause
from preview.errors import PreviewError, PreviewUnavailable
from preview.supervisor.preview.control import FilesChange


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
        """Note an ended activity. Like ``touch`` it wakes nobody: thousands of requests may end in a second."""
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


# They are carried out together; more wait only while files are written. Each may hold a generation's worth of bytes.
_MOST_WAITING = 16


class Change:
    """One request. Its caller waits for ``settled``, and may go away.

    Attributes:
        files: What is to be changed, without contents once it is; None for a restart of the same files.
        asked_at: When, by trio's clock.
        settled: Set when it was carried out, or was not to be.
        error: Why not; None where the new process serves.
        elapsed_s: Seconds from the request until it served.
    """

    def __init__(self, files: FilesChange | None) -> None:
        self.files = files
        self.asked_at = trio.current_time()
        self.settled = trio.Event()
        self.error: PreviewError | None = None
        self.elapsed_s = 0.0

    @property
    def what(self) -> str:
        """``reload`` or ``restart``, for the log."""
        return "restart" if self.files is None else "reload"

    def let_go_of_contents(self) -> None:
        """Its files are in place; it may wait long for a process that serves, and many with it."""
        if self.files is not None:
            self.files = FilesChange(dict.fromkeys(self.files.written, b""), self.files.removed)

    def settle(self, error: PreviewError | None) -> None:
        """Answer the waiting caller; the first answer counts."""
        if not self.settled.is_set():
            self.error = error
            self.elapsed_s = trio.current_time() - self.asked_at
            self.settled.set()


class Changes:
    """Those that wait to be carried out, in their order. Bounded; all but ``wait`` is synchronous."""

    def __init__(self) -> None:
        self._waiting: deque[Change] = deque()
        # Taken, and not settled yet: those of one start-up time at most, without their contents.
        self._taken: list[Change] = []
        self._came = trio.Event()
        self._closed: PreviewError | None = None

    def put(self, files: FilesChange | None) -> Change:
        """Ask for a change.

        Raises:
            PreviewUnavailable: Too many wait already.
            PreviewError: The preview has ended; says how.
        """
        if self._closed is not None:
            raise self._closed
        if len(self._waiting) >= _MOST_WAITING:
            raise PreviewUnavailable(
                f"{len(self._waiting)} changes of this preview wait to be carried out; try again in a moment."
            )
        change = Change(files)
        self._waiting.append(change)
        self._came.set()
        return change

    def take(self) -> list[Change]:
        """All that wait, which wait no longer."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._taken = [one for one in (*self._taken, *taken) if not one.settled.is_set()]
        self._came = trio.Event()
        return taken

    async def wait(self) -> None:
        """Until one waits. Cancellation: nothing changes."""
        await self._came.wait()

    def close(self, error: PreviewError) -> None:
        """Close the queue: the preview has ended, and callers get that as their result."""
        self._closed = error
        self.take()
        for change in self._taken:
            change.settle(error)


class SocketRelease:
    """Of one preview."""

    def __init__(self) -> None:
        # Of each such process: an event of these tells that it accepts no more.
        self._before: list[tuple[trio.Event, ...]] = []

    def note(self, *events: trio.Event) -> None:
        """Another process serves now; whichever of these comes first, the one from before accepts no more."""
        self._before = [*self._left(), events]

    @property
    def is_over(self) -> bool:
        """True if a new connection can reach only the newest process."""
        return not self._left()

    async def wait_over(self) -> None:
        """Until ``is_over``. Cancellation: nothing changes."""
        for events in self._left():
            await wait_any(*events)

    def _left(self) -> list[tuple[trio.Event, ...]]:
        return [events for events in self._before if not any(event.is_set() for event in events)]
