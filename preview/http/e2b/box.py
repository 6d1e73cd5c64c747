"""One sandbox: its folders, its commands, and operations on its files."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import trio

from preview.errors import LaunchFailed
from preview.http.e2b.command import Command
from preview.http.e2b.errors import E2bError
from preview.runtime import (
    CONTROL_PLACEHOLDER,
    ProcessSpec,
    RunningProcess,
    Runtime,
    interpreter_paths,
    limits_of,
    measure,
)
from preview.settings import Settings

HOME = "/home/user"
MAX_FILE_BYTES = 64 * 1024 * 1024
"""Largest file that is read or written over HTTP."""
MAX_ENTRIES = 10_000
MAX_COMMANDS = 8
"""Commands and operations on files of one sandbox at a time; each has the limits of a preview."""
_MAX_UPLOADS = 4
_OPERATION_S = 60.0
_DISK_S = 0.5
# Pieces of a file between the sandbox and a slow reader.
_PIECES = 4
_MAX_LINES, _MAX_LINE_CHARS = 1000, 2000
# The largest first line is a list of MAX_ENTRIES, each with two names of 255 characters or so.
_MAX_SAID_BYTES = 16 * 1024 * 1024
_INSIDE = Path(__file__).with_name("inside.py").read_text("utf-8")
# Stderr leaves over a socket of its own, so that nobody can mistake it for stdout.
_SHELL = f'exec 2>&{CONTROL_PLACEHOLDER} {CONTROL_PLACEHOLDER}>&-; cd -- "$1" || exit 1; shift; exec "$@"'
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Box:
    """A sandbox. Its commands run in ``nursery``, and cancelling ``scope`` ends it.

    Attributes:
        id: Name.
        user_id: Its owner.
        template: Name that the SDK sent; all sandboxes are the same.
        metadata: The owner's own.
        envs: Variables of all its commands.
        folder: Parent of its folders, removed at the end.
        slot: Number that its user id derives from.
        gone: Set when nothing is left of it.
        token: Secret of its files and commands.
    """

    id: str
    user_id: str
    template: str
    metadata: Mapping[str, str]
    envs: Mapping[str, str]
    folder: Path
    slot: int
    settings: Settings
    runtime: Runtime
    scope: trio.CancelScope
    nursery: trio.Nursery
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    commands: dict[int, Command] = field(default_factory=dict)
    lines: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_MAX_LINES))
    busy: int = 0
    uploads: int = 0
    is_full: bool = False
    gone: trio.Event = field(default_factory=trio.Event)
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
        """Return the number of the next process."""
        number: int = next(self._numbers)
        return number

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Count a process.

        Raises:
            E2bError: The sandbox has as many as it may have.

        Cancellation: nothing is counted.
        """
        if self.busy >= MAX_COMMANDS:
            raise E2bError(
                "resource_exhausted", f"The sandbox runs {MAX_COMMANDS} commands already; wait, or kill one."
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

    def spec(
        self, argv: list[str], envs: Mapping[str, str], number: int, control: socket.socket, *, is_ours: bool = False
    ) -> ProcessSpec:
        """Return the specification of a process of the sandbox."""
        program = Path(sys._base_executable)  # type: ignore[attr-defined]  # noqa: SLF001  there is no public name
        return ProcessSpec(
            preview_id=self.id,
            argv=argv,
            directory=self.home,
            environment={
                "PATH": _PATH, "HOME": HOME, "USER": "user", "LANG": "C.UTF-8", "E2B_SANDBOX": "true",
                "E2B_SANDBOX_ID": self.id, **self.envs, **envs,
            },
            listener=None,
            limits=limits_of(self.settings),
            readable=interpreter_paths(program) if is_ours else (),
            writable=(self.home, self.temp),
            shown_at={Path(HOME): self.home, Path("/tmp"): self.temp},  # noqa: S108  the sandbox's own
            network=self.settings.network,
            loopback_ports=self.settings.loopback_ports,
            slot=self.slot,
            number=number,
            control=control,
        )  # fmt: skip

    def command_spec(self, command: Command, control: socket.socket) -> ProcessSpec:
        """Return the specification of a command."""
        argv = ["/bin/bash", "-c", _SHELL, "bash", command.cwd or HOME, command.cmd, *command.args]
        return self.spec(argv, command.envs, command.pid, control)

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
        asked = json.dumps({"name": name, "path": path, "most": most, "source": "FD", **more})
        # The number of the descriptor takes the place of a text that JSON would quote.
        asked = asked.replace('"source": "FD"', f'"source": {CONTROL_PLACEHOLDER}')
        program = sys._base_executable  # type: ignore[attr-defined]  # noqa: SLF001  there is no public name
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            spec = self.spec(
                [program, "-I", "-S", "-c", _INSIDE, asked], {}, self.next_number(), theirs, is_ours=True
            )  # fmt: skip
            error: E2bError | None = None
            try:
                with trio.move_on_after(_OPERATION_S) as scope:
                    async with self.turn(), self.runtime.open_process(spec) as process, trio.open_nursery() as nursery:
                        theirs.close()
                        nursery.start_soon(_send, ours, source)
                        said = await _said(process)
                        if isinstance(said, E2bError):
                            error = said
                        else:
                            yield said
                        nursery.cancel_scope.cancel()
            except LaunchFailed as failure:
                error = E2bError("unavailable", failure.message)
            if scope.cancelled_caught:
                error = E2bError("deadline_exceeded", f"The operation took over {_OPERATION_S:g} s.")
            if error is not None:
                raise error
        if name in ("write", "remove", "move"):
            await self.measure()

    async def measure(self) -> None:
        """Look how much disk space is used.

        Cancellation: nothing changes.
        """
        limit = self.settings.disk_limit_mb * 1024 * 1024
        found = await trio.to_thread.run_sync(measure, (self.home, self.temp), (), limit, abandon_on_cancel=True)
        self.is_full = found.used_bytes > limit or found.is_too_deep

    async def watch_disk(self) -> None:
        """End all commands when the disk space is used up; runs as long as the sandbox.

        Cancellation: ends.
        """
        while True:
            await trio.sleep(_DISK_S)
            if not self.commands:
                continue
            await self.measure()
            if self.is_full:
                sentence = f"The sandbox has used its {self.settings.disk_limit_mb} MiB; its commands were ended."
                self.note(sentence, "error")
                for command in list(self.commands.values()):
                    command.end(E2bError("disk_full", sentence))


async def _said(process: RunningProcess) -> tuple[Any, AsyncIterator[bytes]] | E2bError:
    """Return the first line of an operation, and what follows it; or why it is impossible."""
    got = bytearray()
    pieces = aiter(process.output)
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


async def _send(ours: socket.socket, source: AsyncIterator[bytes] | None) -> None:
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    try:
        if source is not None:
            async for piece in source:
                await stream.send_all(piece)
        await stream.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        # It has refused the rest, and says why.
        pass
