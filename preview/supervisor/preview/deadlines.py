"""Deadlines of a preview (expiry and inactivity), its queue of changes, and the release of its socket."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from types import TracebackType

import trio

from preview.core.lifecycle import StopCause
from preview.errors import PreviewError, PreviewUnavailable
from preview.launch_settings import ResolvedSettings
from preview.runtime.waiting import wait_any
from preview.supervisor.preview.control import DataChange, FilesChange


class Hold:
    """An activity with a duration. A class, because a generator-based context manager would cost more."""

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
    """Expiry and inactivity deadlines of one preview, by trio's clock: a changed wall clock has no effect.

    Args:
        life_s: Seconds until expiry, from now.
        inactive_s: Seconds without a request or open stream after which the preview ends.
    """

    def __init__(self, *, life_s: float, inactive_s: float) -> None:
        now = trio.current_time()
        self.expires_at = now + life_s
        self._inactive_s = inactive_s
        self._active_at = now
        # Number of open streams. Invariant: while a stream is open, the preview is active.
        self._held = 0
        # ``Hold`` has no state, so all streams share one object.
        self._hold = Hold(self)
        self._changed = trio.Event()

    def touch(self) -> None:
        """Record activity. Cheap: the waiting task checks again at its old deadline."""
        self._active_at = trio.current_time()

    def hold(self) -> Hold:
        """Return a context manager; the preview counts as active while the context is open."""
        return self._hold

    def begin(self) -> None:
        """Record the start of an activity."""
        self._held += 1

    def end(self) -> None:
        """Record the end of an activity. Wakes no task, like ``touch``: thousands may end in a second."""
        self._held -= 1
        self._active_at = trio.current_time()

    def extend_to(self, expires_at: float) -> None:
        """Move the expiry to a time of trio's clock."""
        self.expires_at = expires_at
        self._changed.set()
        self._changed = trio.Event()

    async def wait(self) -> StopCause:
        """Wait until a deadline has passed; return which one. Cancellation: nothing changes."""
        while True:
            now = trio.current_time()
            if now >= self.expires_at:
                return StopCause.EXPIRED
            if not self._held and now >= self._active_at + self._inactive_s:
                return StopCause.INACTIVE
            # An open stream may end at any time without waking this task, so assume that it ends now.
            look_at = (now if self._held else self._active_at) + self._inactive_s
            changed = self._changed
            with trio.move_on_at(min(self.expires_at, look_at)):
                await changed.wait()


# All waiting changes are carried out together, so more wait only while files are written. Each may be as large as a
# generation.
_MOST_WAITING = 16


class Change:
    """One requested change. Its caller waits for ``settled``, and may disconnect.

    Attributes:
        files: The changes, without contents once they are written; None for a restart with the same files.
        data: The replacement of the preview's data; None for any other change.
        settings: The project's launch settings for the new process; None leaves them.
        after_crash: The process has crashed and is started again; nobody waits for the result.
        asked_at: Time of the request, by trio's clock.
        settled: Set when the change was carried out or has failed.
        error: Reason of the failure; None if the new process serves.
        elapsed_s: Seconds from the request until it was settled.
    """

    def __init__(
        self,
        files: FilesChange | None,
        data: DataChange | None = None,
        settings: ResolvedSettings | None = None,
        *,
        after_crash: bool = False,
    ) -> None:
        self.files = files
        self.after_crash = after_crash
        self.data = data
        self.settings = settings
        self.asked_at = trio.current_time()
        self.settled = trio.Event()
        self.error: PreviewError | None = None
        self.elapsed_s = 0.0

    @property
    def what(self) -> str:
        """``reload``, ``restart``, ``restore`` or ``reset``, for the log."""
        if self.data is not None:
            return self.data.what
        return "restart" if self.files is None else "reload"

    def let_go_of_contents(self) -> None:
        """Drop the contents of written files, because many changes may wait long for a process that serves."""
        if self.files is not None:
            self.files = replace(self.files, written=dict.fromkeys(self.files.written, b""))

    def settle(self, error: PreviewError | None) -> None:
        """Set the result for the waiting caller; only the first call counts."""
        if not self.settled.is_set():
            self.error = error
            self.elapsed_s = trio.current_time() - self.asked_at
            self.settled.set()


class Changes:
    """Queue of requested changes, in order. Bounded; all methods but ``wait`` are synchronous."""

    def __init__(self) -> None:
        self._waiting: deque[Change] = deque()
        # Taken and not settled yet, without contents: at most those of one start-up timeout.
        self._taken: list[Change] = []
        self._came = trio.Event()
        self._next = trio.Event()
        self._closed: PreviewError | None = None

    def put(
        self,
        files: FilesChange | None,
        data: DataChange | None = None,
        settings: ResolvedSettings | None = None,
        *,
        after_crash: bool = False,
    ) -> Change:
        """Request a change.

        Raises:
            PreviewUnavailable: Too many changes are waiting.
            PreviewError: The preview has ended; this is its error.
        """
        if self._closed is not None:
            raise self._closed
        if len(self._waiting) >= _MOST_WAITING:
            raise PreviewUnavailable(
                f"{len(self._waiting)} changes of this preview are waiting to be applied; try again in a moment."
            )
        change = Change(files, data, settings, after_crash=after_crash)
        self._waiting.append(change)
        self._came.set()
        self._next.set()
        return change

    def take(self) -> list[Change]:
        """Remove and return the waiting changes that are carried out together: a replacement of data is alone."""
        taken: list[Change] = []
        while self._waiting and (not taken or (taken[0].data is None and self._waiting[0].data is None)):
            taken.append(self._waiting.popleft())
        self._taken = [one for one in (*self._taken, *taken) if not one.settled.is_set()]
        if not self._waiting:
            self._came = trio.Event()
        return taken

    @property
    def is_idle(self) -> bool:
        """True while no change waits, and none is carried out."""
        return not self._waiting and all(one.settled.is_set() for one in self._taken)

    async def wait(self) -> None:
        """Wait until a change is requested. Cancellation: nothing changes."""
        await self._came.wait()

    async def wait_newer(self) -> None:
        """Wait until a change is requested that belongs to those that are carried out now.

        A replacement of data waits until they are done. Cancellation: nothing changes.
        """
        while not self._waiting or self._waiting[0].data is not None:
            # A change that comes after a replacement of data waits too.
            self._next = trio.Event()
            await self._next.wait()

    def close(self, error: PreviewError) -> None:
        """Close the queue at the preview's end; ``error`` is the result for all callers."""
        self._closed = error
        while self._waiting:
            self.take()
        for change in self._taken:
            change.settle(error)


class SocketRelease:
    """Tracks when replaced processes of one preview stop accepting connections."""

    def __init__(self) -> None:
        # For each such process: events that show that it accepts no more.
        self._before: list[tuple[trio.Event, ...]] = []

    def note(self, *events: trio.Event) -> None:
        """Record a replaced process: it accepts no more once any of the events is set."""
        self._before = [*self._left(), events]

    @property
    def is_over(self) -> bool:
        """True if a new connection can reach only the newest process."""
        return not self._left()

    async def wait_over(self) -> None:
        """Wait until ``is_over``. Cancellation: nothing changes."""
        for events in self._left():
            await wait_any(*events)

    def _left(self) -> list[tuple[trio.Event, ...]]:
        return [events for events in self._before if not any(event.is_set() for event in events)]
