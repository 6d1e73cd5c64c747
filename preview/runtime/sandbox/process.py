"""A sandboxed process tree: bubblewrap outside, the application as the first process of its own world."""

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

# Bubblewrap's own: one process outside, and the first one inside.
WRAPPERS_A_STEP = 2
# The first process of the namespace is bubblewrap's own, which takes in orphans; the application is the second.
_APPLICATION_PID = 2
_WRAPPER = "bwrap"
_FIRST_SIGNAL_CODE = 128


def find_application(leader: int) -> int | None:
    """Return the application below bubblewrap, by its number outside; None before and after its life."""
    inside = [(proctree.namespace_pids(pid), pid) for pid in proctree.descendants(leader)]
    # One number alone is a process that is in no namespace of its own (yet). What carries out the second step of two is
    # the second process of the first one's namespace, hence the innermost.
    found = [(len(numbers), pid) for numbers, pid in inside if len(numbers) > 1 and numbers[-1] == _APPLICATION_PID]
    return max(found)[1] if found else None


def _orphaned_heads() -> list[VerifiedProcess]:
    """First processes of namespaces whose bubblewrap has ended before them: they die of that, and are ours to reap.

    What we have started ourselves is never the first of a namespace; a fork may be, and is not called so.
    """
    children = proctree.children(os.getpid())
    firsts = [pid for pid in children if proctree.namespace_pids(pid)[1:][-1:] == [1]]
    stats = [stat for stat in map(proctree.read_stat, firsts) if stat is not None and stat.name == _WRAPPER]
    return as_known(stat.identity for stat in stats)


async def _nothing_more() -> list[VerifiedProcess]:
    await trio.lowlevel.checkpoint()
    return []


class SandboxedProcess(TreeProcess):
    """See ``RunningProcess``. Its leader is bubblewrap, whose death is the whole tree's.

    Orphans stay in the namespace, so nothing has to be looked for among the service's own children.
    """

    # The leader's own children, as last seen: a zombie that the leader leaves behind is in no control group any more.
    _first: tuple[VerifiedProcess, ...] = ()
    # Known once all steps are done. Invariant: then ``_first`` is complete too, and neither changes any more.
    _application: VerifiedProcess | None = None
    # What the last look found below the leader.
    _below: tuple[int, ...] = ()

    def members(self) -> list[int]:
        """See ``RunningProcess``."""
        return [self._popen.pid, *self._below] if self._group is None else super().members()

    def _look(self) -> list[VerifiedProcess]:
        self._note()
        # A control group counts by itself.
        pids = [] if self._group is not None else proctree.descendants(self._popen.pid)
        self._below = tuple(pids)
        return as_known(one for one in (self.identity, *proctree.living(pids)) if proctree.is_alive(one))

    async def stop(self, grace_s: float) -> Exit:
        """See ``RunningProcess``. Cancellation: the rest of the tree is killed by the context's exit."""
        await retry_on_fd_exhaustion(self._noted)
        with trio.move_on_after(grace_s):
            await retry_on_fd_exhaustion(self._ask)
            await self.wait()
        await self.kill()
        return await self.wait()

    async def kill(self) -> None:
        """SIGKILL for the leader and the namespace's first process, and with them for all; wait until all are gone.

        Cancellation: what was found has been sent SIGKILL. Call it under a bounded shield.
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
        # The first process of a namespace ends after all others in it (pid_namespaces(7)); then it is ours to reap.
        for head in heads:
            # Without a descriptor it is asked again and again below.
            with suppress(OSError):
                await proctree.wait_ended(head.identity)
        await end_all(_nothing_more, heads)
        self._gone = True

    async def _noted(self) -> None:
        self._note()
        await trio.lowlevel.checkpoint()

    def _note(self) -> None:
        """Remember who is to be told to end, and whose death is the whole tree's: a hundred may end at once."""
        leader = self._popen.pid
        if self._application is not None or self._popen.returncode is not None:
            return
        first = tuple(find_living(partial(proctree.children, leader)))
        application = self._find_settled(leader) if first else None
        # Until the leader is reaped its number is certainly its own. This runs in a thread, too.
        if self._popen.returncode is None:
            self._first = first or self._first
            self._application = application

    def _find_settled(self, leader: int) -> VerifiedProcess | None:
        """Return the application once it is in all steps' namespaces: until then it may be a wrapper."""
        found = find_application(leader)
        if found is None:
            return None
        steps = len(proctree.namespace_pids(found)) - len(proctree.namespace_pids(leader))
        if steps * WRAPPERS_A_STEP != self._wrappers:
            return None
        return next(iter(as_known(proctree.living([found]))), None)

    def _heads(self) -> Sequence[VerifiedProcess]:
        """Return the sandbox's processes that are the service's children after the leader has ended."""
        if self._popen.poll() is None:
            return find_living(partial(proctree.children, self._popen.pid))
        return self._tree.orphans(self._adopted.take()) if self._group is None else find_living(self._group.pids)

    def _ask_to_end(self) -> None:
        """SIGTERM for the application and its group: bubblewrap passes none on, and would die of it with all inside."""
        application = self._application
        if application is None or not proctree.is_alive(application.identity):
            found = find_application(self._popen.pid)
            application = None if found is None else next(iter(as_known(proctree.living([found]))), None)
        if application is None:
            self._signal_group(signal.SIGTERM)
            return
        ask_group_to_end(application)

    def _read_exit(self, code: int) -> Exit:
        """Bubblewrap tells of a signal as shells do: 128 and its number (bwrap(1), Exit status)."""
        number = code - _FIRST_SIGNAL_CODE
        if code > _FIRST_SIGNAL_CODE and number in signal.valid_signals():
            return Exit(signal=number)
        return super()._read_exit(code)
