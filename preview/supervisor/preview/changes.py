"""What is asked of a running preview, on its way to the preview's own task: a restart, or changed files."""

from __future__ import annotations

from collections import deque

import trio

from preview.errors import PreviewError, PreviewUnavailable
from preview.supervisor.preview.interface import FilesChange

# They are carried out together; more wait only while files are written. Each may hold a generation's worth of bytes.
_MOST_WAITING = 16


class Change:
    """One request. Whoever asked waits for ``settled``, and may go away.

    Attributes:
        files: What is to be changed, without contents once it is; None for a restart of what is there.
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
        """Tell whoever waits; the first word counts."""
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
        """The preview is over: whoever waits for a change, and whoever comes, is told so."""
        self._closed = error
        self.take()
        for change in self._taken:
            change.settle(error)
