"""One launch from a folder in this process, reported to a ``Story``."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import trio

from preview.cli.client import LOCAL_USER
from preview.cli.local.hosting import Host
from preview.cli.local.story import Addresses, Freed, Story
from preview.cli.tokens import name_option
from preview.core.lifecycle import State
from preview.detection import Overrides
from preview.endpoints import extract_endpoints, find_health_path
from preview.errors import InvalidGeneration, NoActivePreview
from preview.logs import End, StatusChange
from preview.runtime.listener import can_bind
from preview.storage.tables import PreviewRecord
from preview.supervisor import LaunchRequest, PreviewManager, User

# Processes of the sandbox itself, outside and inside.
_SANDBOX = "bwrap"


class Holdings:
    """The processes, port and folder of one preview, recorded while it runs."""

    def __init__(self, *, pid: int | None, host: str, port: int | None, folder: Path | None) -> None:
        self._host = host
        self._port = port
        self._folder = folder
        self._processes = _tree(pid) if pid is not None else []
        # All processes are checked at the end, but the user sees only the count of their own.
        self._count = sum(_name(one) != _SANDBOX for one in self._processes)

    def freed(self) -> Freed:
        """Check which resources are freed. Blocks briefly (system calls only)."""
        left = [f"process {one.pid} ({_name(one)})" for one in self._processes if _runs(one)]
        if self._port is not None and not can_bind(self._host, self._port):
            left.append(f"a listener on port {self._port}")
        if self._folder is not None and self._folder.exists():
            left.append(f"the folder {self._folder}")
        return Freed(self._count, self._port, int(self._folder is not None), left)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _runs(process: psutil.Process) -> bool:
    """Return true if the same process (pid and start time) still runs; zombies count as ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "?"


_TIER = "enterprise"  # the longest lifetime: the user at the terminal ends the preview


class Run:
    """A folder's launch, reported to a story. ``tell`` can be called again after it has returned."""

    def __init__(self, host: Host, folder: Path, generation_id: str, story: Story, overrides: Overrides | None) -> None:
        self.user = User(LOCAL_USER, _TIER)
        self._host = host
        self._folder = folder
        self.generation_id = generation_id
        self._story = story
        self._overrides = overrides
        self._holdings: Holdings | None = None
        self._ready = False
        self._writing = trio.Lock()

    async def tell(self, told: trio.Event) -> End:
        """Launch and report until the preview ends; setting ``told`` stops it.

        Raises:
            PreviewError: The preview cannot be launched.

        Cancellation: the preview stops with the service.
        """
        self._holdings, self._ready = None, False
        asked = LaunchRequest(self.user, self.generation_id, overrides=self._overrides)
        try:
            launched = await self.previews.launch(asked)
        except InvalidGeneration as error:
            named = name_option(error)
            if named is None:
                raise
            raise named from error
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when, told)
            end = await self._tell_log(launched.record)
            nursery.cancel_scope.cancel()
        await self._tell_freed(end, by_user=told.is_set())
        return end

    async def _tell_log(self, record: PreviewRecord) -> End:
        with self.previews.open_log(record, after=None, tail=None) as log:
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
            await self.previews.stop(self.generation_id)
        except NoActivePreview:
            return

    async def _tell_ready(self) -> None:
        active = self.previews.active(self.generation_id)
        if active is None or active.record.base_url is None:
            return
        await self._note_holdings()
        path = await trio.to_thread.run_sync(_example_path, self._folder)
        base_url = active.record.base_url
        addresses = Addresses(
            page=self._host.login_link(_TIER),
            browser=self._host.open_link(active.record),
            preview=base_url,
            example=f"curl {shlex.quote(base_url + path)}",
            data=f"preview data {shlex.quote(self.generation_id)}" if active.needed_servers else "",
        )
        await self._in_thread(partial(self._story.ready, addresses))

    async def _note_holdings(self) -> None:
        """Record processes, port and folder, so that their end can be checked. Reads the process table in a thread."""
        active = self.previews.active(self.generation_id)
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

    @property
    def previews(self) -> PreviewManager:
        """The previews of the hosting service."""
        return self._host.service.previews

    async def say(self, tell: Callable[[Story], None]) -> None:
        """Add to the story. Cancellation: the text may be written nevertheless."""
        await self._in_thread(partial(tell, self._story))

    async def _in_thread(self, tell: Callable[[], None]) -> None:
        """Write from a thread: a suspended terminal (Ctrl-S) or a slow pipe must not block the service."""
        async with self._writing:
            await trio.to_thread.run_sync(tell, abandon_on_cancel=True)


def _example_path(folder: Path) -> str:
    """Return the path for the example: a plain GET endpoint of the project, else its health path."""
    endpoints = extract_endpoints(folder)
    plain = [one.path for one in endpoints if one.method == "GET" and "{" not in one.path]
    health = find_health_path(endpoints)
    telling = [path for path in plain if path not in {health, "/"}]
    return (telling or plain or [health or "/"])[0]
