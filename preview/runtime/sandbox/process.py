"""A sandboxed process tree: bubblewrap outside; inside, its first process and then the application."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.runtime.interface import Exit
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import VerifiedProcess, as_known, find_living
from preview.runtime.process.ending import ask_group_to_end, end_all
from preview.runtime.process.process import TreeProcess

# Bubblewrap's processes in each step: one outside, and the first process inside.
WRAPPERS_A_STEP = 2
# The namespace's first process is bubblewrap's, which adopts orphans; the application is the second.
_APPLICATION_PID = 2
_WRAPPER = "bwrap"
_FIRST_SIGNAL_CODE = 128


def find_application(leader: int) -> int | None:
    """Return the pid of the application below bubblewrap, as seen outside; None before and after its life."""
    inside = [(proctree.namespace_pids(pid), pid) for pid in proctree.descendants(leader)]
    # A process with one pid is in no new namespace yet. With two steps, the second step's program is itself the second
    # process of the first namespace, so the innermost match is the application.
    found = [(len(numbers), pid) for numbers, pid in inside if len(numbers) > 1 and numbers[-1] == _APPLICATION_PID]
    return max(found)[1] if found else None


def _orphaned_heads() -> list[VerifiedProcess]:
    """Return first processes of namespaces that bubblewrap has left behind: they die, and the service must reap them.

    The service's own children are never the first of a namespace. A fork of a template may be, under another name.
    """
    children = proctree.children(os.getpid())
    firsts = [pid for pid in children if proctree.namespace_pids(pid)[1:][-1:] == [1]]
    stats = [stat for stat in map(proctree.read_stat, firsts) if stat is not None and stat.name == _WRAPPER]
    return as_known(stat.identity for stat in stats)


async def _nothing_more() -> list[VerifiedProcess]:
    await trio.lowlevel.checkpoint()
    return []


class SandboxedProcess(TreeProcess):
    """See ``RunningProcess``. The leader is bubblewrap; when it dies, the whole tree dies.

    Orphans stay in the namespace, so they never become the service's children.
    """

    # The leader's children at the last check. Kept because a zombie that the leader leaves is in no control group.
    _first: tuple[VerifiedProcess, ...] = ()
    # Set once all steps are done. Invariant: from then on ``_first`` is complete, and neither changes.
    _application: VerifiedProcess | None = None
    # Processes below the leader at the last check.
    _below: tuple[int, ...] = ()

    def members(self) -> list[int]:
        """See ``RunningProcess``."""
        return [self._popen.pid, *self._below] if self._group is None else super().members()

    def _look(self) -> list[VerifiedProcess]:
        self._note()
        # A control group counts its processes itself.
        pids = [] if self._group is not None else proctree.descendants(self._popen.pid)
        self._below = tuple(pids)
        return as_known(one for one in (self.identity, *proctree.living(pids)) if proctree.is_alive(one))

    async def stop(self, grace_s: float) -> Exit:
        """See ``RunningProcess``. Cancellation: the context's exit kills the rest of the tree."""
        await retry_on_fd_exhaustion(self._noted)
        with trio.move_on_after(grace_s):
            await retry_on_fd_exhaustion(self._ask)
            await self.wait()
        await self.kill()
        return await self.wait()

    async def kill(self) -> None:
        """Send SIGKILL to the leader and the namespace's first process, which ends all others; wait until all are gone.

        Cancellation: every process that was found has been sent SIGKILL. Call it under a bounded shield.
        """
        if self._gone:
            await trio.lowlevel.checkpoint()
            return
        is_complete = self._application is not None
        with self._at_least_its_group():
            found = () if is_complete else self._heads()
            heads = tuple(dict.fromkeys((*self._first, *found)))
            for head in heads:
                head.kill()
        self._signal_group(signal.SIGKILL)
        await self.wait()
        if not is_complete:
            heads = tuple(dict.fromkeys((*heads, *_orphaned_heads())))
        # The first process of a namespace ends after all others in it (pid_namespaces(7)); then the service reaps it.
        for head in heads:
            # Without a free descriptor, ``end_all`` below polls instead.
            with suppress(OSError):
                await proctree.wait_ended(head.identity)
        await end_all(_nothing_more, heads)
        self._gone = True

    async def _noted(self) -> None:
        self._note()
        await trio.lowlevel.checkpoint()

    def _note(self) -> None:
        """Find the application and the leader's children early: later, a hundred trees may end at the same time."""
        leader = self._popen.pid
        if self._application is not None or self._popen.returncode is not None:
            return
        first = tuple(find_living(partial(proctree.children, leader)))
        application = self._find_settled(leader) if first else None
        # The pid cannot be reused until the leader is reaped, which another thread may do meanwhile.
        if self._popen.returncode is None:
            self._first = first or self._first
            self._application = application

    def _find_settled(self, leader: int) -> VerifiedProcess | None:
        """Return the application once it is in the namespaces of all steps; until then it may be a wrapper."""
        found = find_application(leader)
        if found is None:
            return None
        steps = len(proctree.namespace_pids(found)) - len(proctree.namespace_pids(leader))
        if steps * WRAPPERS_A_STEP != self._wrappers:
            return None
        return next(iter(as_known(proctree.living([found]))), None)

    def _heads(self) -> Sequence[VerifiedProcess]:
        """Return the sandbox's processes that become the service's children when the leader has ended."""
        if self._popen.poll() is None:
            return find_living(partial(proctree.children, self._popen.pid))
        return self._tree.orphans(self._adopted.take()) if self._group is None else find_living(self._group.pids)

    def _ask_to_end(self) -> None:
        """Send SIGTERM to the application and its group; bubblewrap does not forward signals, and would die of one."""
        application = self._application
        if application is None or not proctree.is_alive(application.identity):
            found = find_application(self._popen.pid)
            application = None if found is None else next(iter(as_known(proctree.living([found]))), None)
        if application is None:
            self._signal_group(signal.SIGTERM)
            return
        ask_group_to_end(application)

    def _read_exit(self, code: int) -> Exit:
        """Decode bubblewrap's status for a signal: 128 plus the signal number, as in shells (bwrap(1), Exit status)."""
        number = code - _FIRST_SIGNAL_CODE
        if code > _FIRST_SIGNAL_CODE and number in signal.valid_signals():
            return Exit(signal=number)
        return super()._read_exit(code)
