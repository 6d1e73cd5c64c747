"""Saved files of a folder, told as they come."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import trio
from watchfiles import awatch

from preview.cli.exits import CommandFailed
from preview.errors import PreviewError
from preview.generations import FolderChange, FolderChanges

# Editors save in several steps (a copy aside, a rename), and a save of all files is many at once: changes within a
# step of each other is one change, but none waits longer than the second number.
_STEP_MS = 20
_DEBOUNCE_MS = 400
# The library waits in a thread, which sees a cancellation this often.
_CANCEL_MS = 200
_AGAIN_S = 1.0


class FolderWatch:
    """Saved changes of a folder that were not taken yet. ``run`` is its task; it uses one thread.

    Attributes:
        error: Why the folder cannot be taken as it is; None while it can.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changes = FolderChanges(folder)
        self._pending = FolderChange({}, [])
        self._came = trio.Event()
        self.error: PreviewError | None = None

    async def wait(self) -> None:
        """Until something was saved, or the folder cannot be taken. Cancellation: nothing changes."""
        await self._came.wait()

    def take(self) -> FolderChange:
        """Return the changes saved since the last call; possibly none."""
        taken, self._pending = self._pending, FolderChange({}, [])
        self._came = trio.Event()
        return taken

    def give_back(self, change: FolderChange) -> None:
        """Return an unused change: the next ``take`` gets it, with later changes."""
        self._pending = change.then(self._pending)
        self._came.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch, and keep what was saved since this was started.

        Raises:
            CommandFailed: The machine offers no way to watch it.

        Cancellation: within a share of a second.
        """
        await self._look()
        # From here on, nothing is missed: each watch begins with a look.
        self.take()
        task_status.started()
        while True:
            try:
                await self._watch(await trio.to_thread.run_sync(self._changes.folders))
            except FileNotFoundError:
                # A folder was removed while it was about to be watched, or all of it is being replaced.
                await trio.sleep(_AGAIN_S)
            except (OSError, RuntimeError) as error:
                raise CommandFailed(
                    f"The folder {self._folder} cannot be watched ({error}); raise fs.inotify.max_user_watches "
                    "(sysctl), or set WATCHFILES_FORCE_POLLING=1."
                ) from error

    async def _watch(self, folders: list[Path]) -> None:
        """Watch these folders until there are others to watch.

        Each by itself: recursion would also watch what is left out, and ``node_modules`` alone has thousands.
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
                # The first time also where nothing has come: something may have been saved before the watch began.
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
