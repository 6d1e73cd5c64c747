"""A process tree that this process has started: measured, stopped, and killed including orphans."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Protocol, TypeVar

import psutil
import structlog
import trio

from preview.core.descriptors import is_want_of_descriptors, retry_on_fd_exhaustion, wait_readable, waited_on
from preview.runtime.cgroups import Cgroup
from preview.runtime.interface import Excess, Exit, ProcessIdentity, ProcessSpec, Usage
from preview.runtime.kernel import linux, proctree
from preview.runtime.kernel.verified import VerifiedProcess
from preview.runtime.process.adopted import Adopted
from preview.runtime.process.ending import end_all
from preview.runtime.process.membership import Membership

log = structlog.get_logger(__name__)

Tree = TypeVar("Tree", bound="TreeProcess")

# Time limit for killing the rest at the context's exit: SIGKILL is asynchronous, but takes milliseconds.
_KILL_BUDGET_S = 5.0
# Grace period after the leader's end for processes that are still ending (npm ends before node); then they are killed.
_STRAGGLERS_S = 0.25
_STRAGGLERS_POLL_S = 0.005
# Maximum age of a scan for a measurement: orphans need not be counted immediately.
_MEASURED_AGE_S = 0.5


class Leader(Protocol):
    """A tree's first process, with the interface of ``subprocess.Popen``."""

    @property
    def pid(self) -> int:
        """Pid of the process."""

    @property
    def returncode(self) -> int | None:
        """Exit status, or minus a signal number; None until ``poll`` has read it."""

    def poll(self) -> int | None:
        """Return the exit status if the process has ended, else None."""


class TreeProcess:
    """See ``RunningProcess``: a leader that this process has forked, and all its descendants.

    Args:
        group: The tree's control group, or None.
        wrappers: Number of the runtime's own processes in the tree, which do not count as the preview's.
        adopted: The runtime's shared scans; None makes one for this tree alone.
        identity: The leader's identity; None looks it up.
    """

    def __init__(
        self,
        popen: Leader,
        output: trio.lowlevel.FdStream,
        spec: ProcessSpec,
        group: Cgroup | None = None,
        *,
        wrappers: int = 0,
        adopted: Adopted | None = None,
        identity: ProcessIdentity | None = None,
    ) -> None:
        self._popen = popen
        self._adopted = Adopted() if adopted is None else adopted
        self._group = group
        self._wrappers = wrappers
        known = identity or proctree.identify(popen.pid)
        self.identity = known or ProcessIdentity(popen.pid, 0, linux.boot_id())
        self.output: trio.abc.ReceiveStream = output
        leaders = self._adopted.leaders
        leaders.add(self.identity)
        self._tree = Membership(self.identity, spec.instance, spec.directory, output.fileno(), leaders)
        self._gone = False
        # CPU seconds at the last usage(), by pid and creation time, and when they were read (time.monotonic). With a
        # control group that counts them, there is one entry for the tree.
        self._cpu_seen: dict[tuple[int, float], float] = {}
        self._cpu_read_at: float | None = None

    async def wait(self) -> Exit:
        """See ``RunningProcess``. Cancellation: the process keeps running."""
        return await retry_on_fd_exhaustion(self._wait)

    async def _wait(self) -> Exit:
        # Each waiter has its own pidfd, because trio allows one waiter per descriptor. Until poll() has read the status
        # the pid is at worst a zombie, so it cannot be reused.
        while self._popen.poll() is None:
            with waited_on(os.pidfd_open(self._popen.pid)) as descriptor:
                await wait_readable(descriptor)
        return self._read_exit(self._popen.returncode or 0)

    def _read_exit(self, code: int) -> Exit:
        return Exit(signal=-code) if code < 0 else Exit(code=code)

    async def usage(self) -> Usage:
        """See ``RunningProcess``. Cancellation: the process is not affected."""
        return await trio.to_thread.run_sync(self._measure)

    def _measure(self) -> Usage:
        members = self._look()
        counted = None if self._group is None else self._group.usage()
        if counted is not None and counted.cpu_s is not None:
            cpu_percent = self._cpu_percent({(0, 0.0): counted.cpu_s})
            return Usage(counted.memory_bytes, cpu_percent, max(0, counted.processes - self._wrappers))
        memory_bytes, cpu_seen = self._ask_each(members)
        return Usage(memory_bytes, self._cpu_percent(cpu_seen), max(0, len(cpu_seen) - self._wrappers))

    def _look(self) -> list[VerifiedProcess]:
        return self._tree.look(self._adopted.recent(_MEASURED_AGE_S))

    def _ask_each(self, members: list[VerifiedProcess]) -> tuple[int, dict[tuple[int, float], float]]:
        """Return the resident memory of all members, and the processor seconds of each."""
        memory_bytes = 0
        cpu_seen: dict[tuple[int, float], float] = {}
        for member in members:
            pid = member.pid
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    memory_bytes += process.memory_info().rss
                    times = process.cpu_times()
                    cpu_seen[pid, process.create_time()] = times.user + times.system
        return memory_bytes, cpu_seen

    def _cpu_percent(self, cpu_seen: dict[tuple[int, float], float]) -> float:
        now = time.monotonic()
        before, read_at = self._cpu_seen, self._cpu_read_at
        self._cpu_seen, self._cpu_read_at = cpu_seen, now
        if read_at is None or now <= read_at:
            return 0.0
        used_s = sum(seconds - before.get(key, 0.0) for key, seconds in cpu_seen.items())
        return round(100 * used_s / (now - read_at), 1)

    def _signal_group(self, number: signal.Signals) -> None:
        """Signal the leader's process group, whose number cannot be reused until the leader is reaped."""
        if self._popen.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, number)

    @contextmanager
    def _at_least_its_group(self) -> Iterator[None]:
        """Kill the leader's group if no descriptor is free to find the others, which are then killed later."""
        try:
            yield
        except OSError as error:
            if is_want_of_descriptors(error):
                self._signal_group(signal.SIGKILL)
            raise

    async def _ask(self) -> None:
        # If this fails for lack of a descriptor, no signal has been sent, and the caller can retry.
        self._ask_to_end()
        await trio.lowlevel.checkpoint()

    def _ask_to_end(self) -> None:
        self._signal_group(signal.SIGTERM)

    def resident_bytes(self) -> int | None:
        """See ``RunningProcess``."""
        if self._group is not None:
            return None
        pids = {*self.members(), *proctree.descendants(self._popen.pid)}
        return sum(map(proctree.resident_bytes, pids))

    def excess(self) -> Excess:
        """See ``RunningProcess``."""
        return Excess() if self._group is None else self._group.events()

    def members(self) -> list[int]:
        """See ``RunningProcess``."""
        if self._group is not None:
            return self._group.pids()
        return [self._popen.pid, *(one.pid for one in self._tree.known)]

    async def stop(self, grace_s: float) -> Exit:
        """See ``RunningProcess``. Cancellation: the context's exit kills the rest of the tree."""
        # Scan before the leader ends: afterwards, a position below the leader can no longer be seen.
        self._tree.look(await retry_on_fd_exhaustion(self._adopted.look))
        with trio.move_on_after(grace_s):
            await retry_on_fd_exhaustion(self._ask)
            await self.wait()
            with trio.move_on_after(_STRAGGLERS_S):
                while await self._orphans():  # noqa: ASYNC110  the kernel has no event for "tree empty"
                    await trio.sleep(_STRAGGLERS_POLL_S)
        await self.kill()
        return await self.wait()

    async def kill(self) -> None:
        """Send SIGKILL to the whole tree, and wait until nothing is left.

        Cancellation: every process that was found has been sent SIGKILL. Call it under a bounded shield.
        """
        if self._gone:
            await trio.lowlevel.checkpoint()
            return
        # First the leader's descendants: after its death they can be found only by their marks.
        with self._at_least_its_group():
            if self._popen.poll() is None:
                self._tree.look(await self._adopted.look())
            for process in self._tree.known:
                process.kill()
        self._signal_group(signal.SIGKILL)
        await self.wait()
        await end_all(self._orphans, self._tree.known)
        # The scan itself reaps ended orphans of unknown trees.
        self._tree.reap(await self._adopted.look())
        self._adopted.leaders.discard(self.identity)
        self._gone = True

    async def _orphans(self) -> list[VerifiedProcess]:
        return self._tree.orphans(await self._adopted.look())


@asynccontextmanager
async def open_tree(process: Tree, spec: ProcessSpec) -> AsyncIterator[Tree]:
    """Yield a started process; at the end nothing of its tree is left.

    Cancellation: the whole tree is ended (bounded).
    """
    try:
        yield process
    finally:
        with trio.move_on_after(_KILL_BUDGET_S, shield=True) as scope:
            await retry_on_fd_exhaustion(process.kill)
        await trio.aclose_forcefully(process.output)
        if scope.cancelled_caught:
            log.error("processes survived SIGKILL", preview_id=spec.preview_id, pid=process.identity.pid)
