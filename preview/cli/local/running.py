"""Launch a folder in this process, reload saved changes, and handle signals."""

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
    """A watched folder's run: reloads saved changes, and launches again after a failure."""

    def __init__(self, run: Run, source: FolderGenerations, watch: FolderWatch) -> None:
        self._run = run
        self._source = source
        self._watch = watch
        # A change that may not have reached the preview; sent again with the next change.
        self._unsure = FolderChange({}, [])

    async def tell(self, told: trio.Event) -> End | None:
        """Launch and report until ``told`` is set, or until something else stops the preview.

        Returns:
            The last end; None if ``told`` was set while nothing ran.

        Raises:
            PreviewError: The first launch was refused.

        Cancellation: the preview stops with the service.
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
        # The launch includes all changes saved so far.
        self._watch.take()
        self._unsure = FolderChange({}, [])
        self._source.note_change()
        ended: End | PreviewError
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, nursery)
            try:
                ended = await self._run.tell(told)
            except PreviewError as error:
                # Stored instead of raised, because the nursery would wrap it in a group.
                ended = error
            nursery.cancel_scope.cancel()
        if isinstance(ended, PreviewError):
            raise ended
        return ended

    async def _saved(self, told: trio.Event) -> bool:
        """Wait for a saved change; return false if ``told`` was set first."""
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
                # Runs concurrently with the previous reload: if that one hangs, the newest still succeeds.
                nursery.start_soon(self._reload, change)

    async def _reload(self, change: FolderChange) -> None:
        is_taken = False
        try:
            reload = await self._bring(change)
            is_taken = reload is not None
        finally:
            if not is_taken:
                # The preview has ended or is ending. The change may fix the cause, so it is kept for the next launch.
                self._watch.give_back(change)
        if reload is not None:
            await self._run.say(lambda story: story.reloaded(reload))

    async def _bring(self, change: FolderChange) -> Reload | None:
        """Send the change to the running or starting preview; return None if there is none."""
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
    """Handle signals: the first calls ``end``, the second cancels the body; further signals have no effect.

    The watcher runs until after the body's teardown, so that a third Ctrl-C does not kill the process during it.

    Cancellation: the body is cancelled.
    """
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as body:
            # Cancelling a closed scope has no effect, as intended for further signals.
            await nursery.start(partial(watch_signals, end, body.cancel))  # noqa: ASYNC111  the scope may be closed
            yield
        nursery.cancel_scope.cancel()


async def watch_signals(
    end: Callable[[], None],
    hurry: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call ``end`` at the first signal and ``hurry`` at each further one; started once signals are received here.

    SIGHUP is included: closing a terminal must not leave previews behind.

    Cancellation: the previous signal handlers are restored.
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
    """Launch the folder and report to the story until it ends or a signal arrives, then clean up everything.

    Returns:
        ``INTERRUPTED`` if a second signal cut the shutdown short, else ``OK``.

    Raises:
        PreviewError: The launch was refused or the preview failed; the message is the reason.

    Cancellation: the preview is torn down within the stop budget.
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
    """Warn on stderr if there is no sandbox: the project then has all rights of the user who runs it."""
    sandbox = next((rung for rung in host.service.rungs if rung.name == "sandbox"), None)
    if sandbox is None or sandbox.holds or host.service.settings.isolation is Isolation.PLAIN:
        return
    who = "root" if os.geteuid() == 0 else "your user"
    advice = "`preview doctor --fix` installs what is missing" if find_missing() else f"to do: {sandbox.advice}"
    say(f"preview: this project runs with all rights of {who}: no sandbox, {sandbox.found} ({advice})")


def _id_for(folder: Path) -> str:
    """Return a valid generation id that resembles the folder's name."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("._-")
    return slug[:100] or "folder"
