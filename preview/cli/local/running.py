"""One preview from a folder, in this process, told as it goes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import trio

from preview.cli.client import LOCAL_USER
from preview.cli.doctor.installing import find_missing
from preview.cli.exits import CommandFailed, ExitCode
from preview.cli.local.hosting import Host, open_host
from preview.cli.local.one_run import Run
from preview.cli.local.rerun import Rerun
from preview.cli.local.signals import hurried_by_signals
from preview.cli.local.story import Story
from preview.cli.local.watching import FolderWatch
from preview.cli.terminal import say
from preview.core.isolation import Isolation
from preview.core.lifecycle import State
from preview.detection import Overrides
from preview.generations import FolderGenerations
from preview.settings import Settings
from preview.worker import InProcess


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

    Args:
        settings: Of the service that it is launched by.
        folder: The project's.
        bind: Where the page is served.
        story: Is told to.
        overrides: What the person has decided about the start.
        is_watched: Reload when a file is saved; and where it has failed, launch it again then.

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
    """A valid generation id that a person recognises."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("._-")
    return slug[:100] or "folder"
