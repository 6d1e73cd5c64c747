"""Watch a folder for saved changes."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import trio
from watchfiles import awatch

from preview.cli.exits import CommandFailed
from preview.errors import PreviewError
from preview.generations import FolderChange, FolderChanges

# Editors save in several steps (a copy, a rename), and "save all" writes many files at once. Changes less than a step
# apart are combined, but a change never waits longer than the debounce time.
_STEP_MS = 20
_DEBOUNCE_MS = 400
# The library waits in a thread, which checks for cancellation at this interval.
_CANCEL_MS = 200
_AGAIN_S = 1.0


class FolderWatch:
    """Collects a folder's saved changes. ``run`` is its task; it uses one thread.

    Attributes:
        error: Why the folder is currently not a valid generation; None if it is valid.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changes = FolderChanges(folder)
        self._pending = FolderChange({}, [])
        self._came = trio.Event()
        self.error: PreviewError | None = None

    async def wait(self) -> None:
        """Wait for a saved change or an invalid folder. Cancellation: nothing changes."""
        await self._came.wait()

    def take(self) -> FolderChange:
        """Return the changes saved since the last call; possibly none."""
        taken, self._pending = self._pending, FolderChange({}, [])
        self._came = trio.Event()
        return taken

    def give_back(self, change: FolderChange) -> None:
        """Return an unused change: the next ``take`` includes it, with later changes."""
        self._pending = change.then(self._pending)
        self._came.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch the folder, and collect the changes saved after the start.

        Raises:
            CommandFailed: The folder cannot be watched on this machine.

        Cancellation: takes effect within a fraction of a second.
        """
        await self._look()
        # No change is missed from here on, because each watch begins with a scan.
        self.take()
        task_status.started()
        while True:
            try:
                await self._watch(await trio.to_thread.run_sync(self._changes.folders))
            except FileNotFoundError:
                # A folder was removed before it could be watched, or the whole folder is being replaced.
                await trio.sleep(_AGAIN_S)
            except (OSError, RuntimeError) as error:
                raise CommandFailed(
                    f"The folder {self._folder} cannot be watched ({error}); raise fs.inotify.max_user_watches "
                    "(sysctl), or set WATCHFILES_FORCE_POLLING=1."
                ) from error

    async def _watch(self, folders: list[Path]) -> None:
        """Watch these folders until the set of folders changes.

        Not recursive: recursion would include skipped folders, and ``node_modules`` alone has thousands.
        """
        if not folders:
            raise FileNotFoundError
        batches = awatch(
            *folders,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_CANCEL_MS,
            yield_on_timeout=True,
            recursive=False,
        )
        has_looked = False
        async with aclosing(batches):
            async for batch in batches:
                if not batch and has_looked:
                    continue
                # The first batch may be empty, but something may have been saved before the watch began.
                has_looked = True
                await self._look()
                if await trio.to_thread.run_sync(self._changes.folders) != folders:
                    return

    async def _look(self) -> None:
        try:
            found = await trio.to_thread.run_sync(self._changes.look)
        except PreviewError as error:
            if self.error is None or self.error.message != error.message:
                self.error = error
                self._came.set()
            return
        self.error = None
        if found:
            self._pending = self._pending.then(found)
            self._came.set()
