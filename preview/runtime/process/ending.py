"""Ends processes: kills a whole tree, repeatedly until nothing is left, or first sends SIGTERM.

Only verified processes are signalled, through a pidfd whose start time was checked. So a reused pid is never
signalled.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

import trio

from preview.runtime.cgroups import Cgroup, CgroupTree, enter_prefix
from preview.runtime.interface import Held, ProcessIdentity, ProcessSpec
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import VerifiedProcess, find_living

# A killed process is gone within two milliseconds; the poll backs off for those that are stuck in the kernel.
_FIRST_POLL_S = 0.001
_LAST_POLL_S = 0.02


def ask_group_to_end(process: VerifiedProcess) -> None:
    """Send SIGTERM to a process in its own namespace, and to its process group if that is in the namespace too.

    A template's code chooses the process group of an application. It could leave the application in the template's
    group, and a signal to that group would reach other processes. Such a group has no number in the namespace
    (``NSpgid`` in proc(5)), and no process can join a group without a number (setpgid(2)).
    """
    with suppress(*proctree.GONE):
        numbers = proctree.namespace_groups(process.pid)
        if not proctree.is_alive(process.identity):
            return
        if len(numbers) > 1 and all(numbers):
            os.killpg(numbers[0], signal.SIGTERM)
        else:
            os.kill(process.pid, signal.SIGTERM)


def _is_settled(identity: ProcessIdentity, others: frozenset[int]) -> bool:
    """Return whether a killed process is gone for good: reaped, by this process if it is a child.

    A zombie becomes our child only when its parent, which is being killed too, has gone.
    """
    stat = proctree.read_stat(identity.pid)
    if stat is None or stat.identity != identity:
        return True
    return stat.has_ended and not proctree.reap(identity.pid) and stat.parent not in others


async def end_all(find: Callable[[], Awaitable[list[VerifiedProcess]]], known: Iterable[VerifiedProcess] = ()) -> int:
    """Kill all processes that ``find`` returns, repeatedly until all are gone; return how many were killed.

    Args:
        find: Searches again for processes to kill; a second search finds those forked before the first kill.
        known: Processes that were already sent SIGKILL, to be waited for and reaped (a zombie has no marks).

    Cancellation: all processes found so far have been sent SIGKILL. Call it under a bounded shield.
    """
    killed = set(known)
    pending = set(killed)
    pause_s = _FIRST_POLL_S
    while True:
        found = await find()
        for process in found:
            process.kill()
        killed.update(found)
        pending.update(found)
        pids = frozenset(process.pid for process in pending)
        pending = {process for process in pending if not _is_settled(process.identity, pids - {process.pid})}
        if not pending:
            return len(killed)
        await trio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LAST_POLL_S)


async def end_tree(preview_ids: Iterable[str], leaders: Iterable[ProcessIdentity]) -> int:
    """End processes of an earlier run: its leaders, if they are still the same processes, and all marked ones.

    Returns:
        Number of killed processes.

    Cancellation: see ``end_all``.
    """
    wanted = frozenset(preview_ids)
    known = tuple(leaders)

    def pids() -> list[int]:
        heads = [one.pid for one in known if proctree.is_alive(one)]
        below = [pid for head in heads for pid in proctree.descendants(head)]
        return list(dict.fromkeys([*heads, *below, *proctree.marked(wanted)]))

    async def look() -> list[VerifiedProcess]:
        await trio.lowlevel.checkpoint()
        return find_living(pids)

    return await end_all(look)


@asynccontextmanager
async def open_group(
    groups: CgroupTree | None, spec: ProcessSpec, *, wrappers: int = 0
) -> AsyncIterator[Cgroup | None]:
    """Open the tree's group; at the end every process in it is killed. Yields None without control groups.

    Args:
        groups: The service's control groups.
        spec: Gives the group's name and limits.
        wrappers: Number of the runtime's own processes in the tree, for which the limit is raised.

    Raises:
        LaunchFailed: The kernel refuses the group or a limit.

    Cancellation: see ``CgroupTree.open``.
    """
    if groups is None:
        yield None
        return
    limits = spec.limits
    async with groups.open(
        spec.instance,
        memory_bytes=limits.memory_bytes,
        cpu_cores=limits.cpu_cores,
        processes=limits.processes + wrappers,
    ) as group:
        yield group


def enter(group: Cgroup | None) -> list[str]:
    """Return the command prefix that starts a program in the group."""
    return [] if group is None else enter_prefix(group.entry_files)


def held_by(groups: CgroupTree | None) -> frozenset[Held]:
    """Return the limits that the groups enforce, for ``Runtime.holds``."""
    if groups is None:
        return frozenset()
    return frozenset({"memory", "processes"} if groups.without_cpu else {"memory", "processes", "cpu"})


def described_limits(groups: CgroupTree | None) -> str:
    """Return half a sentence about limits, for ``Runtime.describe``."""
    if groups is None:
        return "open files, file size, processes by rlimits; memory by watching the tree"
    cpu = "" if groups.without_cpu else ", processor time"
    return f"memory, processes{cpu} of the whole tree by control groups; open files, file size by rlimits"


# A thirtieth of the usual weight (sched(7)): even the last of many trees still makes progress beside other programs.
_NICE = 15


def give_way(leaders: Iterable[ProcessIdentity]) -> None:
    """Lower the priority of the leaders and their process groups, so that other processes run first.

    A hundred servers that end at once all need the processor, and would leave each other process a fiftieth of a core.
    Then the service could not kill late trees in time. Only root can raise the priority again.
    """
    for leader in leaders:
        with suppress(OSError):
            if proctree.is_alive(leader):
                os.setpriority(os.PRIO_PGRP, leader.pid, _NICE)
