"""A preview's own template: its application, imported already, forked for each restart within the preview's sandbox.

It is of the very same code: a change of it makes another one necessary. All that it forks are processes of one
preview; each has a control group of its own, which tells it from the others, and ends it.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace

import trio

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

_PACKET_BYTES = 1024
_PATIENCE_S = 10.0
# From one restart to what is made ready for the next: by then the new process has answered somebody.
_CALM_S = 0.5
# A waiting fork is killed, and its control group removed: milliseconds.
_END_S = 5.0


async def wait_parked(process: ForkedProcess, timeout_s: float) -> None:
    """Wait until the application is imported.

    Args:
        process: Forked with ``parks``.
        timeout_s: Seconds for that.

    Raises:
        NotForked: It is not to be; says why. That is the project's doing, and not the template's.

    Cancellation: nothing changes.
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
        why = "it says what nobody understands"
    if why is not None:
        raise NotForked(why, is_its_fault=False)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A fork in its own control group that is not told yet what to be; it ends with ``held``."""

    ours: socket.socket
    itself: OpenProcess
    group: Cgroup
    held: AsyncExitStack

    @property
    def has_ended(self) -> bool:
        """True if it is gone, for any reason."""
        return self.itself.has_ended


class ParkedApplication:
    """See ``interface.Snapshot``. Made by ``open_forking``, which has one fork ready before each restart.

    Args:
        process: Parked.
        groups: The service's.
        spec: What it was parked with: its limits are those of all forks.
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
        """See ``Runtime.open_process``. Cancellation: the whole tree is gone (bounded)."""
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

    async def keep_ahead(self) -> None:
        """Have a fork ready, for ever; without one, restarts fork.

        Cancellation: what is ready is ``close``'s to end.
        """
        with suppress(NotForked, LaunchFailed):
            while True:
                # The process that has just started needs the processor first; and it is to have written what they all
                # do.
                await trio.sleep(_CALM_S)
                name = f"{self._spec.preview_id}-{next(self._numbers)}"
                waiting = await self._fork(replace(self._spec, preview_id=name), is_ahead=True)
                self._ahead, self._taken = waiting, trio.Event()
                await self._taken.wait()

    async def close(self) -> None:
        """End the fork that nobody has taken. Cancellation: it is on its way out; call it under a bounded shield."""
        waiting = self._take()
        if waiting is not None:
            await waiting.held.aclose()

    def _take(self) -> _Waiting | None:
        """Take a ready fork, which then belongs to the caller."""
        waiting, self._ahead = self._ahead, None
        self._taken.set()
        return waiting

    async def _fork(self, spec: ProcessSpec, *, is_ahead: bool = False) -> _Waiting:
        """Return a waiting fork in its own control group, which is named for this specification.

        Raises:
            NotForked, LaunchFailed: It could not be had; nothing is left.
        """
        async with AsyncExitStack() as held:
            with as_not_forked("the snapshot"), trio.fail_after(_PATIENCE_S):
                ours = await self._ask(held, is_ahead=is_ahead)
            # While the group is made, which the kernel takes its time for, the snapshot forks.
            group = await held.enter_async_context(open_group(self._groups, spec, wrappers=0))
            assert group is not None, "there are control groups"  # noqa: S101
            with as_not_forked("the snapshot"), trio.fail_after(_PATIENCE_S):
                itself = self._origin.claim(await expect_word(ours, b"app"))
                # From here on, and not before, it may be moved and killed.
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
    """Provide a snapshot that has a fork ready before each restart. Args: see ``ParkedApplication``.

    Cancellation: no fork waits any more; those in use are their own contexts' to end.
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
        output, printed = os.pipe2(os.O_CLOEXEC)
        held.callback(os.close, output)
        try:
            sockets = [one.fileno() for one in sockets_of(spec).values()]
            with memory_file(json.dumps(program_order(spec)).encode()) as order:
                await send(waiting.ours, b"go", (order, printed, *sockets))
        finally:
            os.close(printed)
        # The process closes these; ``waiting`` closes its own.
        first = held.enter_context(closing(waiting.itself.dup()))
        application = held.enter_context(closing(waiting.itself.dup()))
        own = held.enter_context(waiting.ours.dup())
        stream = trio.lowlevel.FdStream(output)
        held.pop_all()
        return SnapshotProcess(Fork(first, application, own), stream, spec, waiting.group)
    raise AssertionError("unreachable")


class SnapshotProcess(ForkedProcess):
    """See ``RunningProcess``. It is not the first process of its namespace: its group says what belongs to it."""

    _WRAPPERS = 0

    async def kill(self) -> None:
        """SIGKILL for all in its control group; wait until all are gone.

        Cancellation: what was found has been sent SIGKILL. Call it under a bounded shield.
        """
        if not self._gone:
            self._fork.kill()
            if self._group is not None:
                await self._group.kill()
        await self.wait()
        self._gone = True
