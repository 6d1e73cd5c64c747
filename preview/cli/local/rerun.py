"""A run that follows its folder: what is saved is reloaded, and what has failed is launched again."""

from __future__ import annotations

import trio

from preview.cli.local.one_run import Run
from preview.cli.local.story import Reload
from preview.cli.local.watching import FolderWatch
from preview.core.lifecycle import State
from preview.errors import PreviewError
from preview.generations import FolderChange, FolderGenerations
from preview.logs import End
from preview.supervisor import FilesChange


class Rerun:
    """A run, told until it is stopped.

    Args:
        run: Launches, and tells.
        source: The folder, as the service sees it.
        watch: Tells of saved files; running.
    """

    def __init__(self, run: Run, source: FolderGenerations, watch: FolderWatch) -> None:
        self._run = run
        self._source = source
        self._watch = watch
        # May not have come to the preview: brought again with the next change.
        self._unsure = FolderChange({}, [])

    async def tell(self, told: trio.Event) -> End | None:
        """Launch and tell until ``told``, or until the preview is stopped by something else.

        Returns:
            The last end; None where ``told`` came while nothing ran.

        Raises:
            PreviewError: The first launch was refused.

        Cancellation: the service's end stops it.
        """
        end: End | None = await self._once(told)
        while end is None or end.state is State.FAILED:
            if told.is_set():
                return end
            await self._run.say(lambda story: story.waiting())
            if not await self._saved(told):
                return None
            try:
                end = await self._once(told)
            except PreviewError as error:
                await self._refuse(error)
                end = None
        return end

    async def _once(self, told: trio.Event) -> End:
        # What was saved so far is in the folder that is launched now.
        self._watch.take()
        self._unsure = FolderChange({}, [])
        self._source.note_change()
        ended: End | PreviewError
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, nursery)
            try:
                ended = await self._run.tell(told)
            except PreviewError as error:
                # Not through the nursery, which would make a group of it.
                ended = error
            nursery.cancel_scope.cancel()
        if isinstance(ended, PreviewError):
            raise ended
        return ended

    async def _saved(self, told: trio.Event) -> bool:
        """Wait for something to be saved; False where ``told`` came first."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when, told, nursery.cancel_scope)
            await self._watch.wait()
            nursery.cancel_scope.cancel()
        return not told.is_set()

    async def _follow(self, nursery: trio.Nursery) -> None:
        while True:
            await self._watch.wait()
            error, change = self._watch.error, self._watch.take()
            if error is not None:
                await self._refuse(error)
            if change:
                # Beside the one before: the newest wins, should that one hang.
                nursery.start_soon(self._reload, change)

    async def _reload(self, change: FolderChange) -> None:
        is_taken = False
        try:
            reload = await self._bring(change)
            is_taken = reload is not None
        finally:
            if not is_taken:
                # The preview has ended, or does so now: this may be what mends it.
                self._watch.give_back(change)
        if reload is not None:
            await self._run.say(lambda story: story.reloaded(reload))

    async def _bring(self, change: FolderChange) -> Reload | None:
        """Bring it to the preview that runs, or is about to; None where none does."""
        preview = self._run.previews.active(self._run.generation_id)
        if preview is None:
            return None
        await preview.settled.wait()
        began, error = trio.current_time(), None
        self._source.note_change()
        try:
            every = self._unsure = self._unsure.then(change)
            files = FilesChange(every.written, every.removed)
            await self._run.previews.reload(self._run.user, self._run.generation_id, files)
            if self._unsure is every:
                self._unsure = FolderChange({}, [])
        except PreviewError as failure:
            if preview.record.state is not State.RUNNING:
                return None
            error = failure
        return Reload(sorted(change.written), change.removed, trio.current_time() - began, error)

    async def _refuse(self, error: PreviewError) -> None:
        await self._run.say(lambda story: story.refused(error))


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
