"""A preview's own template: the imported application, forked for each restart inside the preview's sandbox.

A snapshot serves only the code that it imported: after a change another one is needed. All its forks belong to one
preview. Each fork has its own control group, which identifies its processes and ends them.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.errors import LaunchFailed
from preview.runtime.cgroups import Cgroup, CgroupTree
from preview.runtime.interface import NoSnapshot, ProcessSpec
from preview.runtime.kernel.linux import beside, memory_file
from preview.runtime.kernel.verified import OpenProcess
from preview.runtime.process.ending import open_group
from preview.runtime.process.process import open_tree
from preview.runtime.warm.forks.forking import (
    NotForked,
    as_not_forked,
    expect_word,
    program_order,
    sockets_of,
)
from preview.runtime.warm.forks.process import Fork, ForkedProcess
from preview.runtime.warm.packets import PacketsEnded, open_pair, parse, printable, receive, send

log = structlog.get_logger(__name__)

_PACKET_BYTES = 1024
_PATIENCE_S = 10.0
# Delay between a restart and the next spare fork: by then the new process has answered its first request.
_CALM_S = 0.5
# Seconds between two measurements of a suspended application.
_WATCH_S = 2.0
# Killing a waiting fork and removing its control group takes milliseconds.
_END_S = 5.0


async def wait_parked(process: ForkedProcess, timeout_s: float) -> None:
    """Wait until the application is imported.

    Args:
        process: Process forked with ``parks``.
        timeout_s: Time limit of the import, in seconds.

    Raises:
        NotForked: The import failed; the message gives the reason. The project is the cause, not the template.

    Cancellation: the process is not affected.
    """
    packet: bytes = b""
    try:
        with trio.move_on_after(timeout_s):
            packet = (await receive(process.own, _PACKET_BYTES)).data
    except PacketsEnded:
        raise NotForked("its import ends the process", is_its_fault=False) from None
    if not packet:
        raise NotForked(f"its import takes longer than {timeout_s:g} s", is_its_fault=False)
    try:
        said = parse(packet)
        why = None if said.get("parked") is True else printable(said.get("refused", "its import ends the process"))
    except ValueError:
        why = "it sent an unknown message"
    if why is not None:
        raise NotForked(why, is_its_fault=False)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A fork in its own control group that has no program yet; closing ``held`` ends it."""

    ours: socket.socket
    itself: OpenProcess
    group: Cgroup
    held: AsyncExitStack

    @property
    def has_ended(self) -> bool:
        """True if the fork has ended, for any reason."""
        return self.itself.has_ended


class ParkedApplication:
    """See ``interface.Snapshot``. Made by ``open_forking``, which keeps one spare fork for the next restart.

    Args:
        process: The suspended application.
        groups: The service's control groups.
        spec: Specification of the suspended process; its limits apply to all forks.
    """

    def __init__(self, process: ForkedProcess, groups: CgroupTree, spec: ProcessSpec) -> None:
        self._process = process
        self._origin = process.as_origin()
        self._groups = groups
        self._spec = spec
        self._ahead: _Waiting | None = None
        self._numbers = itertools.count(1)
        self._taken = trio.Event()

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[ForkedProcess]:
        """See ``Runtime.open_process``. Cancellation: the whole tree is ended (bounded)."""
        try:
            waiting = self._take()
            if waiting is not None and waiting.has_ended:
                await waiting.held.aclose()
                waiting = None
            if waiting is None:
                waiting = await self._fork(spec)
            async with waiting.held:
                with as_not_forked("the snapshot"), trio.fail_after(_PATIENCE_S):
                    process = await _let_go_on(waiting, spec)
                with closing(process):
                    async with open_tree(process, spec):
                        yield process
        except NotForked as error:
            raise NoSnapshot(str(error)) from error

    @property
    def is_spent(self) -> bool:
        """See ``interface.Snapshot``."""
        return False

    async def keep_ahead(self) -> None:
        """Keep a spare fork ready, forever; without a spare, a restart forks.

        Cancellation: ``close`` ends a ready fork.
        """
        with suppress(NotForked, LaunchFailed):
            while True:
                # The process that has just started needs the processor first. Its written memory pages then show which
                # pages the next fork will write.
                await trio.sleep(_CALM_S)
                name = f"{self._spec.preview_id}-{next(self._numbers)}"
                waiting = await self._fork(replace(self._spec, preview_id=name), is_ahead=True)
                self._ahead, self._taken = waiting, trio.Event()
                await self._taken.wait()

    async def close(self) -> None:
        """End the unused spare fork. Cancellation: the end has been requested; call it under a bounded shield."""
        waiting = self._take()
        if waiting is not None:
            await waiting.held.aclose()

    def _take(self) -> _Waiting | None:
        """Remove and return the spare fork, which the caller then owns."""
        waiting, self._ahead = self._ahead, None
        self._taken.set()
        return waiting

    async def _fork(self, spec: ProcessSpec, *, is_ahead: bool = False) -> _Waiting:
        """Return a waiting fork in its own control group, named after ``spec``.

        Raises:
            NotForked, LaunchFailed: The fork failed; nothing is left.
        """
        async with AsyncExitStack() as held:
            with as_not_forked("the snapshot"), trio.fail_after(_PATIENCE_S):
                ours = await self._ask(held, is_ahead=is_ahead)
            # The snapshot forks while the kernel creates the group, which takes time.
            group = await held.enter_async_context(open_group(self._groups, spec, wrappers=0))
            assert group is not None, "there are control groups"  # noqa: S101
            with as_not_forked("the snapshot"), trio.fail_after(_PATIENCE_S):
                itself = self._origin.claim(await expect_word(ours, b"app"))
                # Only from here on may it be moved and killed.
                held.callback(itself.close)
                held.callback(itself.kill)
                await trio.to_thread.run_sync(group.enter, itself)
                if is_ahead:
                    await send(ours, b"in")
            return _Waiting(ours, itself, group, held.pop_all())
        raise AssertionError("unreachable")

    async def _ask(self, held: AsyncExitStack, *, is_ahead: bool) -> socket.socket:
        """Request a fork and return its socket; the fork waits, and ends with ``held``."""
        ours, theirs = held.enter_context(open_pair())
        with theirs:
            await send(self._process.own, b"a" if is_ahead else b"f", (theirs.fileno(),))
        return ours


@asynccontextmanager
async def open_forking(
    process: ForkedProcess, groups: CgroupTree, spec: ProcessSpec
) -> AsyncIterator[ParkedApplication]:
    """Open a snapshot that keeps one spare fork for the next restart. Args: see ``ParkedApplication``.

    Cancellation: the spare fork ends; the contexts of used forks end those.
    """
    snapshot = ParkedApplication(process, groups, spec)
    try:
        async with beside(snapshot.keep_ahead):
            yield snapshot
    finally:
        with trio.move_on_after(_END_S, shield=True):
            await snapshot.close()


async def _let_go_on(waiting: _Waiting, spec: ProcessSpec) -> SnapshotProcess:
    with ExitStack() as held:
        stream = await _send_go(waiting.ours, spec, held)
        # The process closes these duplicates; ``waiting`` closes the originals.
        first = held.enter_context(closing(waiting.itself.dup()))
        application = held.enter_context(closing(waiting.itself.dup()))
        own = held.enter_context(waiting.ours.dup())
        held.pop_all()
        return SnapshotProcess(Fork(first, application, own), stream, spec, waiting.group)
    raise AssertionError("unreachable")


async def _send_go(ours: socket.socket, spec: ProcessSpec, held: ExitStack) -> trio.lowlevel.FdStream:
    """Order a waiting process to become the application; return its output, which ``held`` closes."""
    output, printed = os.pipe2(os.O_CLOEXEC)
    stream = trio.lowlevel.FdStream(output)
    held.callback(stream.close)
    try:
        sockets = [one.fileno() for one in sockets_of(spec).values()]
        with memory_file(json.dumps(program_order(spec)).encode()) as order:
            await send(ours, b"go", (order, printed, *sockets))
    finally:
        os.close(printed)
    return stream


class ParkedOnce:
    """See ``interface.Snapshot``. Without control groups the suspended application serves itself, and only once.

    Args:
        process: The suspended application.
    """

    def __init__(self, process: ForkedProcess) -> None:
        self._process = process
        self.is_spent = False

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[ForkedProcess]:
        """See ``Runtime.open_process``. Cancellation: the whole tree is ended (bounded)."""
        if self.is_spent:
            raise NoSnapshot("it was used before")
        self.is_spent = True
        try:
            with ExitStack() as held:
                with as_not_forked("the snapshot"), trio.fail_after(_PATIENCE_S):
                    stream = await _send_go(self._process.own, spec, held)
                process = self._process.continued(stream, spec)
                held.pop_all()
        except NotForked as error:
            raise NoSnapshot(str(error)) from error
        with closing(process):
            async with open_tree(process, spec):
                yield process


async def watch_memory(process: ForkedProcess, spec: ProcessSpec, snapshot: ParkedOnce) -> None:
    """End an application above its memory limit, which no control group enforces, from its import on.

    Returns once the application serves, and is watched by its preview. Cancellation: the process is not affected.
    """
    while not snapshot.is_spent:
        usage = await retry_on_fd_exhaustion(process.usage)
        if usage.memory_bytes > spec.limits.memory_bytes and not snapshot.is_spent:
            log.info("snapshot ended", preview_id=spec.preview_id, memory_bytes=usage.memory_bytes)
            await process.kill()
            return
        await trio.sleep(_WATCH_S)


class SnapshotProcess(ForkedProcess):
    """See ``RunningProcess``. It is not the first process of its namespace; its control group defines the tree."""

    _WRAPPERS = 0

    async def kill(self) -> None:
        """Send SIGKILL to all processes of the control group, and wait until all are gone.

        Cancellation: every process that was found has been sent SIGKILL. Call it under a bounded shield.
        """
        if not self._gone:
            self._fork.kill()
            if self._group is not None:
                await self._group.kill()
        await self.wait()
        self._gone = True
