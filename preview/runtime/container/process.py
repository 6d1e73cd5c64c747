"""A process tree in a container: the engine's programs are its parents, and this service ends it by itself."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from preview.runtime.cgroups import Cgroup, GroupLimits, find_own_groups
from preview.runtime.cgroups.v1 import V1Cgroup
from preview.runtime.cgroups.v2 import V2Cgroup
from preview.runtime.container.engine import Engine, EngineError
from preview.runtime.container.joining import Order
from preview.runtime.interface import Excess, Exit, ProcessSpec
from preview.runtime.kernel.linux import memory_file
from preview.runtime.run_image import Checked
from preview.runtime.warm.forks.process import Fork, ForkedProcess
from preview.runtime.warm.packets import PacketsEnded, send

log = structlog.get_logger(__name__)

# The engine learns of an end within milliseconds. Without its answer the reason is the signal alone.
_REASON_S = 2.0
_ANSWER_S = 2.0
_MOST_SAID, _MOST_LINE = 4096, 300
# A check may print a page; what prints more is read at 400 KiB/s.
_QUICKLY_READ_BYTES, _READ_PAUSE_S = 64 * 1024, 0.01
_NUMBER = re.compile(r"-?[0-9]{1,3}")
_NECESSARY = frozenset({"memory", "pids"})


class ContainerProcess(ForkedProcess):
    """See ``RunningProcess``. The container's first process adopts orphans, and ends after all others.

    Args:
        engine: Tells the reason of an end.
        container: The container's id.
        order: The order that its program has got.
        group: The container's control group, which the engine has made; None if it cannot be seen.
    """

    def __init__(
        self,
        fork: Fork,
        output: trio.lowlevel.FdStream,
        spec: ProcessSpec,
        *,
        engine: Engine,
        container: str,
        order: Order,
        group: Cgroup | None,
    ) -> None:
        super().__init__(fork, output, spec, group)
        self._order = order
        self._engine = engine
        self._container = container
        self._last_excess = Excess()
        self._is_asked_for = False
        self._is_being_ended = False

    @property
    def container(self) -> str:
        """The container's id."""
        return self._container

    async def wait(self) -> Exit:
        """See ``RunningProcess``. Cancellation: the process keeps running."""
        ended = await super().wait()
        if ended.signal == signal.SIGKILL and not self._is_being_ended and not self._is_asked_for:
            self._is_asked_for = True
            await self._ask_reason()
        return ended

    async def _ask_reason(self) -> None:
        """Find out whether memory was the reason. Cancellation: the reason stays unknown."""
        # The kernel's count, as long as the engine has not removed the group.
        if self.excess().killed_for_memory:
            return
        # The first process has read the count before its end; without a group of its own it would be the machine's.
        if self._fork.is_out_of_memory and self._group is not None:
            self._last_excess = _larger(self._last_excess, Excess(killed_for_memory=1))
            return
        with trio.move_on_after(_REASON_S):
            try:
                # Until the engine has noticed the end itself, its state says nothing.
                await self._engine.wait(self._container)
                state = await self._engine.state(self._container)
            except (EngineError, OSError) as error:
                log.warning("container end unexplained", container=self._container, error=str(error))
                return
            if state.get("OOMKilled") is True:
                self._last_excess = _larger(self._last_excess, Excess(killed_for_memory=1))

    def excess(self) -> Excess:
        """See ``RunningProcess``. The engine removes the group at the end, so the last counts are kept."""
        self._last_excess = _larger(self._last_excess, super().excess())
        return self._last_excess

    async def _ask(self) -> None:
        application = self._fork.application
        if application is not None and _may_signal(application.pid):
            await super()._ask()
            return
        # With users of its own the engine alone may signal; the first process passes SIGTERM on.
        with suppress(EngineError):
            await self._engine.signal(self._container, "SIGTERM")

    async def check(self, argv: Sequence[str], directory: str, within_s: float) -> Checked:
        """See ``ChecksInside``. Cancellation: the check is killed when its time is over."""
        order = replace(self._order, argv=list(argv), directory=Path(directory), within_s=within_s)
        try:
            output, answer = await self._start_check(order)
        except PacketsEnded:
            return Checked(None, "its process has ended")
        async with output, answer:
            said, code = bytearray(), bytearray()
            with trio.move_on_after(within_s + _ANSWER_S):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_read_some, output, said)
                    await _read_some(answer, code)
                    # Processes that the check has left keep its output open.
                    nursery.cancel_scope.cancel()
        text = bytes(code).decode("ascii", "replace")
        return Checked(int(text) if _NUMBER.fullmatch(text) else None, _last_line(bytes(said)))

    async def _start_check(self, order: Order) -> tuple[trio.abc.ReceiveStream, trio.abc.ReceiveStream]:
        """Start a check; return its output and its result.

        Raises:
            PacketsEnded: The container has ended.
            OSError: No file descriptor is free.

        Cancellation: the check may run.
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            result, told = os.pipe2(os.O_CLOEXEC)
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        output, answer = trio.lowlevel.FdStream(reading), trio.lowlevel.FdStream(result)
        try:
            with memory_file(replace(order, descriptors={1: writing}).packed()) as packed:
                await send(self.own, b"check", (packed, told, writing))
        except BaseException:
            await trio.aclose_forcefully(output)
            await trio.aclose_forcefully(answer)
            raise
        finally:
            os.close(writing)
            os.close(told)
        return output, answer

    async def kill(self) -> None:
        """See ``ForkedProcess``. Cancellation: the end was asked for. Call it under a bounded shield."""
        self._is_being_ended = True
        self.excess()
        try:
            await super().kill()
        except PermissionError:
            # The first process ends when the service closes its connection.
            with suppress(OSError):
                self.own.shutdown(socket.SHUT_WR)
            await super().wait()
            self._gone = True


async def _read_some(stream: trio.abc.ReceiveStream, into: bytearray) -> None:
    """Read a stream to its end, slowly if it has much; keep its last bytes."""
    count = 0
    while piece := await stream.receive_some(_MOST_SAID):
        into += piece
        del into[:-_MOST_SAID]
        count += len(piece)
        if count > _QUICKLY_READ_BYTES:
            # Whatever it prints, this service has little to do.
            await trio.sleep(_READ_PAUSE_S)


def _last_line(said: bytes) -> str:
    lines = [one.strip() for one in said.decode("utf-8", "replace").splitlines() if one.strip()]
    return "".join(one if one.isprintable() else " " for one in lines[-1][:_MOST_LINE]) if lines else ""


def _may_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        return True
    return True


def _larger(one: Excess, other: Excess) -> Excess:
    return Excess(
        killed_for_memory=max(one.killed_for_memory, other.killed_for_memory),
        refused_processes=max(one.refused_processes, other.refused_processes),
        throttled_s=max(one.throttled_s, other.throttled_s),
    )


def find_group(pid: int, container: str) -> Cgroup | None:
    """Return the container's control group, to read from; None if this process does not see it.

    Args:
        pid: Pid of a process in the container.
        container: The container's id, which the group's path contains.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
        found = find_own_groups(mounts, Path(f"/proc/{pid}/cgroup").read_text("utf-8", "replace"))
    except OSError:
        return None
    unlimited = GroupLimits(0, 0.0, 0)
    folders = {name: one.directory for name, one in found.controllers.items() if container in one.directory}
    if folders.keys() >= _NECESSARY:
        return V1Cgroup(container, unlimited, folders)
    unified = found.unified
    if unified is None or container not in unified.directory or not Path(unified.directory, "memory.current").exists():
        return None
    return V2Cgroup(container, unlimited, unified.directory, with_cpu=True)
