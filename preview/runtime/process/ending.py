"""Ending processes: all of a tree, again and again until nothing of it is left, by SIGKILL or first by asking.

Only what was verified is signalled: through a pidfd whose start time was checked, so that a pid used again by the
kernel is never hit.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import trio

from preview.runtime.interface import ProcessIdentity
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
    """Whether a killed process is gone for good: reaped, by us where it is ours to reap.

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
