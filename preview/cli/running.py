"""One preview from a folder, in this process, told as it goes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from preview.cli.client import LOCAL_USER
from preview.cli.exits import CommandFailed, ExitCode
from preview.cli.hosting import Host, open_host
from preview.cli.leftovers import Holdings
from preview.cli.signals import hurried_by_signals
from preview.cli.story import Addresses, Story
from preview.detection import Overrides
from preview.endpoints import extract_endpoints, find_health_path
from preview.errors import NoActivePreview
from preview.generations import FolderGenerations
from preview.lifecycle import State
from preview.logs import End, StatusChange
from preview.settings import Settings
from preview.storage.records import PreviewRecord
from preview.supervisor import LaunchRequest, User

__all__ = ["run_folder"]

_TIER = "enterprise"  # the longest life: whoever runs it here decides when it ends


async def run_folder(
    settings: Settings, folder: Path, *, bind: str, story: Story, overrides: Overrides | None = None
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
        async with open_host(settings, bind=bind, generations=source) as host:
            end = await _Run(host, folder, generation_id, story, overrides).tell(told)
        if end.state == State.FAILED:
            raise CommandFailed(end.reason or "The preview failed.")
        return ExitCode.OK
    return ExitCode.INTERRUPTED


class _Run:
    """One launch and its story."""

    def __init__(self, host: Host, folder: Path, generation_id: str, story: Story, overrides: Overrides | None) -> None:
        self._host = host
        self._folder = folder
        self._generation_id = generation_id
        self._story = story
        self._overrides = overrides
        self._holdings: Holdings | None = None
        self._ready = False
        self._writing = trio.Lock()

    async def tell(self, told: trio.Event) -> End:
        """Launch and tell until the end, which ``told`` brings about. Cancellation: the service's end stops it."""
        user = User(LOCAL_USER, _TIER)
        asked = LaunchRequest(user, self._generation_id, overrides=self._overrides)
        launched = await self._host.service.previews.launch(asked)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when, told)
            end = await self._tell_log(launched.record)
            nursery.cancel_scope.cancel()
        await self._tell_freed(end, by_user=told.is_set())
        return end

    async def _tell_log(self, record: PreviewRecord) -> End:
        with self._host.service.previews.open_log(record, after=None, tail=None) as log:
            while True:
                events = await log.receive()
                await self._in_thread(partial(self._story.events, events))
                for event in events:
                    if isinstance(event, End):
                        return event
                    if isinstance(event, StatusChange) and event.state == State.RUNNING and not self._ready:
                        self._ready = True
                        await self._tell_ready()

    async def _stop_when(self, told: trio.Event) -> None:
        await told.wait()
        await self._in_thread(self._story.stopping)
        await self._note_holdings()
        try:
            await self._host.service.previews.stop(self._generation_id)
        except NoActivePreview:
            return

    async def _tell_ready(self) -> None:
        active = self._host.service.previews.active(self._generation_id)
        if active is None or active.record.base_url is None:
            return
        await self._note_holdings()
        path = await trio.to_thread.run_sync(_example_path, self._folder)
        base_url = active.record.base_url
        addresses = Addresses(
            page=self._host.login_link(_TIER), preview=base_url, example=f"curl {shlex.quote(base_url + path)}"
        )
        await self._in_thread(partial(self._story.ready, addresses))

    async def _note_holdings(self) -> None:
        """What it holds now, so that its end can be checked. The process table is read in a thread."""
        active = self._host.service.previews.active(self._generation_id)
        if active is None:
            return
        record = active.record
        self._holdings = await trio.to_thread.run_sync(
            lambda: Holdings(
                pid=record.pid,
                host=self._host.service.settings.preview_host,
                port=record.port,
                folder=Path(record.directory) if record.directory else active.directory,
            )
        )

    async def _tell_freed(self, end: End, *, by_user: bool) -> None:
        if self._holdings is None:
            return
        freed = await trio.to_thread.run_sync(self._holdings.freed)
        head = "failed" if end.state == State.FAILED else None if by_user else end.reason
        await self._in_thread(partial(self._story.freed, freed, head))

    async def _in_thread(self, tell: Callable[[], None]) -> None:
        """Write from a thread: a terminal that is held (Ctrl-S) or a slow pipe must not hold up the service."""
        async with self._writing:
            await trio.to_thread.run_sync(tell, abandon_on_cancel=True)


def _id_for(folder: Path) -> str:
    """A valid generation id that a person recognises."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("._-")
    return slug[:100] or "folder"


def _example_path(folder: Path) -> str:
    """The most telling thing to ask without knowing anything: a plain GET of the project's own, else its health."""
    endpoints = extract_endpoints(folder)
    plain = [one.path for one in endpoints if one.method == "GET" and "{" not in one.path]
    health = find_health_path(endpoints)
    telling = [path for path in plain if path not in {health, "/"}]
    return (telling or plain or [health or "/"])[0]
