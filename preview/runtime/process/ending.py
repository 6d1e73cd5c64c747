"""Ending processes: all of a tree, again and again until nothing of it is left, by SIGKILL or first by asking.

Only what was verified is signalled: through a pidfd whose start time was checked, so that a pid used again by the
kernel is never hit.
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

# A killed process is gone within a millisecond or two; the poll backs off to this for those stuck in the kernel.
_FIRST_POLL_S = 0.001
_LAST_POLL_S = 0.02


def ask_group_to_end(process: VerifiedProcess) -> None:
    """SIGTERM for a process in a namespace of its own, and for its process group where that is of the namespace too.

    A template, whose code decides with which group an application begins, could leave it in its own: with that, others
    would be asked to end. Such a group has no number in the namespace (``NSpgid`` in proc(5)), and no process gets into
    one that it has no number for (setpgid(2)).
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
    """Return whether a killed process is gone for good: reaped, by us if it is ours.

    A zombie whose parent is being killed too becomes ours when that parent has gone.
    """
    stat = proctree.read_stat(identity.pid)
    if stat is None or stat.identity != identity:
        return True
    return stat.has_ended and not proctree.reap(identity.pid) and stat.parent not in others


async def end_all(find: Callable[[], Awaitable[list[VerifiedProcess]]], known: Iterable[VerifiedProcess] = ()) -> int:
    """Kill whatever ``find`` finds, again and again, until it finds nothing alive; how many were killed.

    Args:
        find: A fresh look for processes that must go. Another look catches what was forked between a look and the kill.
        known: Processes that were sent SIGKILL already, to be waited for and reaped (a zombie shows no marks).

    Cancellation: the ones found so far have been sent SIGKILL. Call it under a bounded shield.
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
    """End what an earlier run of the service left: its leaders, if they are still the same processes, and all marked.

    Returns:
        How many processes were killed.

    Cancellation: as ``end_all``.
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
    """Provide the tree's group; at the end everything in it is killed. None without control groups.

    Args:
        groups: The service's.
        spec: For the tree's name and limits.
        wrappers: Processes of the runtime's own in the tree, which do not count as the preview's.

    Raises:
        LaunchFailed: The kernel refuses it.

    Cancellation: as ``CgroupTree.open``.
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
    """Return the prefix that starts a program in the group."""
    return [] if group is None else enter_prefix(group.entry_files)


def held_by(groups: CgroupTree | None) -> frozenset[Held]:
    """Return the limits of the groups, for ``Runtime.holds``."""
    if groups is None:
        return frozenset()
    return frozenset({"memory", "processes"} if groups.without_cpu else {"memory", "processes", "cpu"})


def described_limits(groups: CgroupTree | None) -> str:
    """Half a sentence for ``Runtime.describe``."""
    if groups is None:
        return "open files, file size, processes by rlimits; memory by watching the tree"
    cpu = "" if groups.without_cpu else ", processor time"
    return f"memory, processes{cpu} of the whole tree by control groups; open files, file size by rlimits"


# A thirtieth of the usual weight (sched(7)): the last ones of many still get on beside another program's work.
_NICE = 15


def give_way(leaders: Iterable[ProcessIdentity]) -> None:
    """Let the leaders, and what is in their groups, have processor time only after others that want it.

    A hundred servers that are ordered to end all compute at once, and would leave a process beside them a fiftieth of a
    core each second: then nobody is killed when the time is over. It cannot be taken back but by root.
    """
    for leader in leaders:
        with suppress(OSError):
            if proctree.is_alive(leader):
                os.setpriority(os.PRIO_PGRP, leader.pid, _NICE)
