"""One sandbox: one process tree with one network, its commands, and operations on its files."""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import structlog
import trio

from preview.core.isolation import Network
from preview.http.e2b.command import HOME, Command
from preview.http.e2b.errors import E2bError
from preview.http.e2b.keeper import Keeper, Task, keeper_command, placed_files
from preview.runtime import BASE_PYTHON, ProcessSpec, RunningProcess, interpreter_paths, limits_of, measure
from preview.settings import Settings

log = structlog.get_logger(__name__)

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest file that is read or written over HTTP."""
MAX_ENTRIES = 10_000
MAX_COMMANDS = 8
"""Commands and operations on files of one sandbox at a time; together they have the limits of a preview."""
_MAX_UPLOADS = 4
_OPERATION_S = 60.0
_WATCH_S = 0.5
# Without commands, only what one has left behind can write.
_IDLE_LOOKS = 10
_MEMORY_S = 0.1
# Pieces of a file between the sandbox and a slow reader.
_PIECES = 4
_MAX_LINES, _MAX_LINE_CHARS = 1000, 2000
# The largest first line is a list of MAX_ENTRIES, each with two names of 255 characters or so.
_MAX_SAID_BYTES = 16 * 1024 * 1024
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Box:
    """A sandbox. Its commands are processes of ``keeper``, and cancelling ``scope`` ends it.

    Attributes:
        id: Name.
        user_id: Its owner.
        template: Name that the SDK sent; all sandboxes are the same.
        metadata: The owner's own.
        envs: Variables of all its commands.
        folder: Parent of its folders, removed at the end.
        slot: Number that its user id derives from.
        keeper: Its first program; all others are below it.
        gone: Set when nothing is left of it.
        token: Secret of its files and commands.
        traffic_token: Secret of its ports; None if they are open to all who know its name.
    """

    id: str
    user_id: str
    template: str
    metadata: Mapping[str, str]
    envs: Mapping[str, str]
    folder: Path
    slot: int
    settings: Settings
    scope: trio.CancelScope
    nursery: trio.Nursery
    keeper: Keeper
    traffic_token: str | None = None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    commands: dict[int, Command] = field(default_factory=dict)
    lines: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MAX_LINES))
    busy: int = 0
    uploads: int = 0
    is_full: bool = False
    gone: trio.Event = field(default_factory=trio.Event)
    _killed: int = 0
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def home(self) -> Path:
        """The folder that commands see as ``/home/user``."""
        return self.folder / "home"

    @property
    def temp(self) -> Path:
        """The folder that commands see as ``/tmp``."""
        return self.folder / "tmp"

    @property
    def ends_at(self) -> datetime:
        """Time at which it ends by itself."""
        return datetime.now(UTC) + timedelta(seconds=self.scope.deadline - trio.current_time())

    def note(self, line: str, level: str = "info") -> None:
        """Add a line to its log."""
        self.lines.append(
            {
                "timestamp": datetime.now(UTC).isoformat(),
                "message": line[:_MAX_LINE_CHARS],
                "level": level,
                "fields": {},
            }
        )

    def next_number(self) -> int:
        """Return the number of the next command."""
        number: int = next(self._numbers)
        return number

    def is_reachable(self, port: int) -> bool:
        """Return whether a port is the sandbox's alone: some lead out of it, and the host's network is shared."""
        network = self.settings.network
        return network is Network.NONE or (
            network is Network.LOOPBACK_ONLY and port not in self.settings.loopback_ports
        )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Count a process.

        Raises:
            E2bError: The sandbox has as many as it may have.

        Cancellation: nothing is counted.
        """
        if self.busy >= MAX_COMMANDS:
            raise E2bError(
                "resource_exhausted", f"The sandbox is already running {MAX_COMMANDS} commands; wait, or kill one."
            )
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    @contextmanager
    def uploading(self) -> Iterator[None]:
        """Count an upload while this context is open.

        Raises:
            E2bError: The sandbox has as many as it may have.
        """
        if self.uploads >= _MAX_UPLOADS:
            raise E2bError("resource_exhausted", f"The sandbox has {_MAX_UPLOADS} uploads under way; try again.")
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    def spec(self) -> ProcessSpec:
        """Return the specification of its first program."""
        return ProcessSpec(
            preview_id=self.id,
            argv=keeper_command(),
            directory=self.home,
            environment={
                "PATH": _PATH, "HOME": HOME, "USER": "user", "LANG": "C.UTF-8", "E2B_SANDBOX": "true",
                "E2B_SANDBOX_ID": self.id, **self.envs,
            },
            listener=None,
            limits=limits_of(self.settings),
            readable=interpreter_paths(BASE_PYTHON),
            placed=placed_files,
            writable=(self.home, self.temp),
            shown_at={Path(HOME): self.home, Path("/tmp"): self.temp},  # noqa: S108  the sandbox's own
            network=self.settings.network,
            loopback_ports=self.settings.loopback_ports,
            slot=self.slot,
            control=self.keeper.theirs,
        )  # fmt: skip

    async def operate(self, name: str, path: str, *, source: AsyncIterator[bytes] | None = None, **more: Any) -> Any:
        """Do an operation on files; return what ``inside`` says.

        Raises:
            E2bError: It is impossible.

        Cancellation: the operation is killed.
        """
        async with self._operation(name, path, source, more) as (head, _):
            return head

    async def read(self, path: str) -> tuple[int, trio.MemoryReceiveChannel[bytes]]:
        """Start to read a file; return its size and its content, which the caller closes.

        Raises:
            E2bError: It cannot be read.

        Cancellation: the operation is killed.
        """
        send, receive = trio.open_memory_channel[bytes](_PIECES)
        size: int = await self.nursery.start(self._read, path, send)
        return size, receive

    async def _read(self, path: str, send: trio.MemorySendChannel[bytes], *, task_status: trio.TaskStatus[int]) -> None:
        is_started, refused = False, None
        with send:
            try:
                async with self._operation("read", path, None, {}) as (head, content):
                    task_status.started(int(head["size"]))
                    is_started = True
                    async for piece in content:
                        await send.send(piece)
            except* trio.BrokenResourceError:
                pass  # the reader has left
            except* E2bError as group:
                refused = group.exceptions[0]
        # Once started, the reader sees that the content is incomplete.
        if refused is not None and not is_started:
            raise refused

    @asynccontextmanager
    async def _operation(
        self, name: str, path: str, source: AsyncIterator[bytes] | None, more: Mapping[str, Any]
    ) -> AsyncIterator[tuple[Any, AsyncIterator[bytes]]]:
        if name == "write" and self.is_full:
            raise E2bError("disk_full", f"The sandbox has used its {self.settings.disk_limit_mb} MiB; remove files.")
        most = MAX_ENTRIES if name == "list" else MAX_FILE_BYTES
        asked = {"name": name, "path": path, "most": most, **more}
        error: E2bError | None = None
        with trio.move_on_after(_OPERATION_S) as scope:
            async with self.turn(), self.keeper.operation(asked) as (task, sink), trio.open_nursery() as nursery:
                nursery.start_soon(_send, sink, source)
                said = await _said(task)
                if isinstance(said, E2bError):
                    error = said
                else:
                    yield said
                nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            error = E2bError("deadline_exceeded", f"The operation took more than {_OPERATION_S:g} s.")
        if error is not None:
            raise error
        if name in ("write", "remove", "move"):
            await self.measure()

    async def measure(self) -> int:
        """Look how much disk space is used; return that in bytes.

        Cancellation: nothing changes.
        """
        limit = self.settings.disk_limit_mb * 1024 * 1024
        found = await trio.to_thread.run_sync(measure, (self.home, self.temp), (), limit, abandon_on_cancel=True)
        self.is_full = found.used_bytes > limit or found.is_too_deep
        return found.used_bytes

    async def watch(self, process: RunningProcess) -> None:
        """End commands, or the sandbox, at its limits; runs as long as the sandbox.

        Cancellation: ends.
        """
        self.nursery.start_soon(self._drain, process)
        self.nursery.start_soon(self._watch_memory, process)
        before: int | None = None
        looks = count(1)
        while True:
            await trio.sleep(_WATCH_S)
            self._tell_killed(process)
            if not self.commands and next(looks) % _IDLE_LOOKS:
                continue
            # What a command has written before it was ended is no growth after it.
            is_idle = not self.commands
            used = await self.measure()
            grows, before = is_idle and before is not None and used > before, used if is_idle else None
            if not self.is_full:
                continue
            sentence = f"The sandbox has used its {self.settings.disk_limit_mb} MiB; its commands were ended."
            if grows:
                # A process that a command has left behind goes on writing.
                self.end("the sandbox was ended: a process without a command keeps filling the disk")
            elif self.commands:
                self.note(sentence, "error")
            for command in list(self.commands.values()):
                command.end(E2bError("disk_full", sentence))

    def end(self, why: str) -> None:
        """End the sandbox; the reason is in the service's log."""
        log.info("sandbox ended", sandbox=self.id, why=why)
        for command in list(self.commands.values()):
            command.end(E2bError("resource_exhausted", f"{why[0].upper()}{why[1:]}."))
        self.scope.cancel()

    def _tell_killed(self, process: RunningProcess) -> None:
        with suppress(OSError):
            killed = process.excess().killed_for_memory
            if killed > self._killed:
                self._killed = killed
                self.note(
                    f"the kernel has killed a process: the sandbox's {self.settings.memory_limit_mb} MiB of memory "
                    "are for all its commands together",
                    "error",
                )

    async def _watch_memory(self, process: RunningProcess) -> None:
        limit = self.settings.memory_limit_mb * 1024 * 1024
        while True:
            try:
                used = process.resident_bytes()
            except OSError:
                used = 0
            if used is None:
                # The kernel limits it.
                return
            if used > limit:
                self.end(f"the sandbox was ended: it used more than {self.settings.memory_limit_mb} MiB of memory")
            await trio.sleep(_MEMORY_S)

    async def _drain(self, process: RunningProcess) -> None:
        async for _ in process.output:
            pass
        await process.wait()
        self.end("the sandbox was ended: its first process has ended")


async def _said(task: Task) -> tuple[Any, AsyncIterator[bytes]] | E2bError:
    """Return the first line of an operation, and what follows it; or why it is impossible."""
    got = bytearray()
    pieces = aiter(task.output)
    while b"\n" not in got:
        piece = await anext(pieces, b"")
        got += piece
        if not piece or len(got) > _MAX_SAID_BYTES:
            return E2bError(
                "internal", "The operation did not answer; the sandbox may be short of memory or processes."
            )
    line, _, rest = bytes(got).partition(b"\n")
    try:
        said = json.loads(line)
        if "ok" not in said:
            return E2bError(str(said["refused"]), str(said["message"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return E2bError("internal", "The operation's answer cannot be read.")

    async def following() -> AsyncIterator[bytes]:
        if rest:
            yield rest
        async for piece in pieces:
            yield bytes(piece)

    return said["ok"], following()


async def _send(sink: trio.abc.SendStream, source: AsyncIterator[bytes] | None) -> None:
    try:
        if source is not None:
            async for piece in source:
                await sink.send_all(piece)
        await sink.aclose()
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        # It has refused the rest, and says why.
        pass
