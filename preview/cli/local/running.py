"""One preview from a folder, in this process, told as it goes."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from preview.cli.client import LOCAL_USER
from preview.cli.doctor.installing import find_missing
from preview.cli.exits import CommandFailed, ExitCode
from preview.cli.local.hosting import Host, open_host
from preview.cli.local.one_run import Run
from preview.cli.local.story import Reload, Story
from preview.cli.local.watching import FolderWatch
from preview.cli.terminal import say
from preview.core.isolation import Isolation
from preview.core.lifecycle import State
from preview.detection import Overrides
from preview.errors import PreviewError
from preview.generations import FolderChange, FolderGenerations
from preview.logs import End
from preview.settings import Settings
from preview.supervisor import FilesChange
from preview.worker import InProcess


class Rerun:
    """A run, told until it is stopped."""

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


@asynccontextmanager
async def hurried_by_signals(end: Callable[[], None]) -> AsyncIterator[None]:
    """Handle signals: the first calls ``end``, the next cancels the body; later ones change nothing.

    The watcher outlives the body's teardown: a third impatient Ctrl-C would else end the process in the middle of it.

    Cancellation: the body is cancelled.
    """
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as body:
            # Cancelling a scope that has closed does nothing: that is what further signals are to do.
            await nursery.start(partial(watch_signals, end, body.cancel))  # noqa: ASYNC111  the scope may be closed
            yield
        nursery.cancel_scope.cancel()


async def watch_signals(
    end: Callable[[], None],
    hurry: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call ``end`` at the first signal and ``hurry`` at each further one; started when signals arrive here.

    SIGHUP is among them: a terminal that is closed must not leave previews behind.

    Cancellation: signals do again what they did before.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
        task_status.started()
        called = False
        async for _number in received:
            (hurry if called else end)()
            called = True


async def run_folder(
    settings: Settings,
    folder: Path,
    *,
    bind: str,
    story: Story,
    overrides: Overrides | None = None,
    is_watched: bool = False,
) -> ExitCode:
    """Launch the folder and tell its story until it is over or a signal comes; then nothing of it is left.

    Returns:
        ``INTERRUPTED`` if a second signal cut the story short, else ``OK``.

    Raises:
        PreviewError: It could not be launched, or it failed; the message is the reason.

    Cancellation: it is torn down within the stop budget.
    """
    generation_id = _id_for(folder)
    source = FolderGenerations(folder, generation_id=generation_id, user_id=LOCAL_USER, project_id="local")
    told = trio.Event()
    async with hurried_by_signals(told.set):
        async with (
            open_host(settings, bind=bind, generations=source, reader=InProcess()) as host,
            trio.open_nursery() as nursery,
        ):
            _tell_unsandboxed(host)
            run = Run(host, folder, generation_id, story, overrides)
            if is_watched:
                watch = FolderWatch(folder)
                await nursery.start(watch.run)
                end = await Rerun(run, source, watch).tell(told)
            else:
                end = await run.tell(told)
            nursery.cancel_scope.cancel()
        if end is not None and end.state == State.FAILED:
            raise CommandFailed(end.reason or "The preview failed.")
        return ExitCode.OK
    return ExitCode.INTERRUPTED


def _tell_unsandboxed(host: Host) -> None:
    """Before all that it says: without a sandbox the project has all rights of the user who runs it."""
    sandbox = next((rung for rung in host.service.rungs if rung.name == "sandbox"), None)
    if sandbox is None or sandbox.holds or host.service.settings.isolation is Isolation.PLAIN:
        return
    who = "root" if os.geteuid() == 0 else "your user"
    advice = "`preview doctor --fix` installs what is missing" if find_missing() else f"to do: {sandbox.advice}"
    say(f"preview: this project runs with all rights of {who}: no sandbox, {sandbox.found} ({advice})")


def _id_for(folder: Path) -> str:
    """Return a valid generation id that a person recognises."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("._-")
    return slug[:100] or "folder"
