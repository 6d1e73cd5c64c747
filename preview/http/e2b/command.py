"""A command of a sandbox, and its events for the caller."""

from __future__ import annotations

import base64
import math
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import trio

from preview.http.e2b.errors import E2bError
from preview.http.e2b.keeper import Keeper, Task
from preview.runtime import Exit

HOME = "/home/user"
_PIECE_BYTES = 32 * 1024
# Bytes of output after which a command is ended: it would fill the memory of its reader.
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
# Events between a command and its reader; a slow reader slows the command.
_EVENTS = 8
_GRACE_S = 2.0
# Leftover processes may keep the pipes open.
_DRAIN_S = 0.5


class Place(Protocol):
    """The sandbox that a command runs in."""

    commands: dict[int, Command]
    keeper: Keeper

    def note(self, line: str, level: str = "info") -> None:
        """Add a line to its log."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Count a process."""


@dataclass(slots=True)
class Command:
    """A command.

    Attributes:
        pid: Its number in the sandbox; no process id of the machine.
        cmd: Program.
        args: Arguments.
        envs: Variables.
        cwd: Working folder; None means the home folder.
        tag: The caller's name for it.
        longest_s: Seconds that it may take.
    """

    pid: int
    cmd: str
    args: list[str]
    envs: Mapping[str, str]
    cwd: str | None
    tag: str | None
    longest_s: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    error: E2bError | None = None
    signal: int | None = None
    stopping: trio.Event = field(default_factory=trio.Event)
    _send: trio.MemorySendChannel[dict[str, Any]] = field(init=False)
    events: trio.MemoryReceiveChannel[dict[str, Any]] = field(init=False)
    _has_reader: bool = True
    _bytes: int = 0

    def __post_init__(self) -> None:
        self._send, self.events = trio.open_memory_channel[dict[str, Any]](_EVENTS)

    def describe(self) -> dict[str, Any]:
        """Return it as ``Process/List`` has it."""
        config = {"cmd": self.cmd, "args": self.args, "envs": dict(self.envs)} | ({"cwd": self.cwd} if self.cwd else {})
        return {"pid": self.pid, "config": config} | ({"tag": self.tag} if self.tag else {})

    def end(self, error: E2bError | None = None) -> None:
        """Kill it; with an error, its reader gets that."""
        self.error = self.error or error
        self.scope.cancel()

    async def run(self, box: Place, *, task_status: trio.TaskStatus[None]) -> None:
        """Run it to its end, in the sandbox's nursery.

        Cancellation: its process group is killed.
        """
        ended: Exit | None = None
        is_started = False
        with self._send:
            box.commands[self.pid] = self
            try:
                async with box.turn():
                    # From here on the answer is a stream, and an error is its last event.
                    task_status.started()
                    is_started = True
                    box.note(f"command {self.pid} started: {self.cmd} {' '.join(self.args)}")
                    with self.scope, trio.move_on_after(self.longest_s) as late:
                        ended = await self._processes(box)
                    if late.cancelled_caught:
                        self.error = E2bError("deadline_exceeded", f"The command took more than {self.longest_s:g} s.")
            except E2bError as error:
                if not is_started:
                    raise
                self.error = self.error or error
            finally:
                box.commands.pop(self.pid, None)
            box.note(f"command {self.pid} ended: {self.error.message if self.error else ended or 'killed'}")
            await self._give({"end": self._end_event(ended)} if self.error is None else {})

    def _end_event(self, ended: Exit | None) -> dict[str, Any]:
        if ended is not None and ended.code is not None and self.signal is None:
            return {"exitCode": ended.code, "exited": True, "status": f"exit status {ended.code}"}
        said = "signal: terminated" if self.signal == 15 else "signal: killed"
        return {"exitCode": -1, "exited": False, "status": said, "error": said}

    async def _processes(self, box: Place) -> Exit | None:
        argv = [self.cmd, *self.args]
        async with (
            box.keeper.command(argv, self.envs, self.cwd or HOME) as task,
            trio.open_nursery() as nursery,
        ):
            await self._give({"start": {"pid": self.pid}})
            nursery.start_soon(self._stop_when_asked, task)
            async with trio.open_nursery() as reading:
                reading.start_soon(self._forward, "stdout", task.output, box)
                reading.start_soon(self._forward, "stderr", task.third, box)
                ended = await task.wait()
                reading.cancel_scope.deadline = trio.current_time() + _DRAIN_S
            nursery.cancel_scope.cancel()
        return ended

    async def _stop_when_asked(self, task: Task) -> None:
        await self.stopping.wait()
        task.send_signal(signal.SIGTERM)
        await trio.sleep(_GRACE_S)
        task.send_signal(signal.SIGKILL)

    async def _forward(self, name: str, source: trio.abc.ReceiveStream, box: Place) -> None:
        try:
            while piece := await source.receive_some(_PIECE_BYTES):
                self._bytes += len(piece)
                for line in piece.decode("utf-8", "replace").splitlines():
                    box.note(line, "error" if name == "stderr" else "info")
                if self._bytes > MAX_OUTPUT_BYTES:
                    self.end(E2bError("resource_exhausted", f"The command printed over {MAX_OUTPUT_BYTES} bytes."))
                await self._give({"data": {name: base64.b64encode(piece).decode()}})
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    async def _give(self, event: dict[str, Any]) -> None:
        """Give an event to the reader; without one, the command runs on and its output is only in the log."""
        if not self._has_reader or not event:
            return
        try:
            await self._send.send({"event": event})
        except trio.BrokenResourceError:
            self._has_reader = False

    async def follow(self, ping_s: float) -> AsyncIterator[dict[str, Any]]:
        """Yield its events to its end.

        Raises:
            E2bError: It was ended by a limit.

        Cancellation: the command runs on.
        """
        is_complete = False
        with self.events:
            while True:
                event: dict[str, Any] | None = {"event": {"keepalive": {}}}
                with trio.move_on_after(ping_s):
                    try:
                        event = await self.events.receive()
                    except trio.EndOfChannel:
                        event = None
                if event is None:
                    break
                is_complete = "end" in event["event"]
                yield event  # noqa: ASYNC119  Quart closes the generator of a response
        if self.error is not None:
            raise self.error
        if not is_complete:
            raise E2bError("unavailable", "The sandbox has ended, and the command with it.")


def longest_of(timeout_ms: str | None, most_s: float) -> float:
    """Return the seconds that a command may take, from the header ``Connect-Timeout-Ms``."""
    try:
        asked = int(timeout_ms or 0) / 1000
    except ValueError:
        asked = 0
    return min(asked, most_s) if asked > 0 else (most_s if math.isfinite(most_s) else 3600.0)
