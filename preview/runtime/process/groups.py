"""A process tree's control group, where this machine has them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from preview.runtime.cgroups import Cgroup, CgroupTree, enter_prefix
from preview.runtime.interface import Held, ProcessSpec


@asynccontextmanager
async def open_group(
    groups: CgroupTree | None, spec: ProcessSpec, *, wrappers: int = 0
) -> AsyncIterator[Cgroup | None]:
    """The group that the tree is started in; on leaving all in it is killed. None where there are no control groups.

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
    """What stands before a program that is started in the group."""
    return [] if group is None else enter_prefix(group.entry_files)


def held_by(groups: CgroupTree | None) -> frozenset[Held]:
    """What the groups hold, for ``Runtime.holds``."""
    if groups is None:
        return frozenset()
    return frozenset({"memory", "processes"} if groups.without_cpu else {"memory", "processes", "cpu"})


def described_limits(groups: CgroupTree | None) -> str:
    """Half a sentence for ``Runtime.describe``."""
    if groups is None:
        return "open files, file size, processes by rlimits; memory by watching the tree"
    cpu = "" if groups.without_cpu else ", processor time"
    return f"memory, processes{cpu} of the whole tree by control groups; open files, file size by rlimits"
