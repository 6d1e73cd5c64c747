"""The plain runtime: an ordinary process with its own session, limits and a clean environment.

What it holds: no new privileges, rlimits, no descriptor but the socket and the pipe, nothing of the service's
environment, the end of its whole tree. What it does not: the file system and the network are the user's own, and the
service itself can be signalled.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from preview.core.isolation import Network
from preview.runtime.cgroups import Cgroup, CgroupTree
from preview.runtime.cold import ColdStarts
from preview.runtime.interface import Held, Limits, ProcessSpec
from preview.runtime.process.adopted import Adopted
from preview.runtime.process.groups import described_limits, enter, held_by, open_group
from preview.runtime.process.process import TreeProcess, open_tree
from preview.runtime.process.spawning import inherited, limit_prefix, number_in, spawn, tasks_on_machine, tool


def _prefix(limits: Limits) -> list[str]:
    """What runs before the program, in the same process: limits, then no new privileges, then ``exec``.

    RLIMIT_NPROC counts all tasks of the real user, not of the tree, hence the addition; root is not held by it
    (getrlimit(2)).
    """
    return [
        *limit_prefix(limits, processes=tasks_on_machine() + limits.processes),
        tool("setpriv"),
        "--no-new-privs",
        # Should the service be killed, the kernel kills the leader at once.
        "--pdeathsig=KILL",
        "--",
    ]


def _spawn(spec: ProcessSpec, group: Cgroup | None, adopted: Adopted) -> TreeProcess:
    with inherited(spec.listener) as fd, inherited(spec.control) as control:
        argv, environment = number_in(spec, fd, control)
        descriptors = [one for one in (fd, control) if one is not None]
        popen, output = spawn(
            spec, [*enter(group), *_prefix(spec.limits), *argv], environment, spec.directory, descriptors
        )
    return TreeProcess(popen, output, spec, group, adopted=adopted)


class PlainRuntime(ColdStarts):
    """See ``Runtime``.

    Args:
        groups: Limits the whole tree, where this machine has control groups.
    """

    def __init__(self, groups: CgroupTree | None = None) -> None:
        self._groups = groups
        self._adopted = Adopted()

    @property
    def name(self) -> str:
        """See ``Runtime``."""
        return "plain"

    def describe(self) -> Mapping[str, str]:
        """See ``Runtime``."""
        return {
            "processes": "own session; the whole tree ends with the preview",
            "privileges": "no new privileges; the service's own user",
            "files": "not isolated: the user's own file system",
            "network": "not isolated",
            "limits": described_limits(self._groups),
        }

    def holds(self) -> frozenset[Held]:
        """See ``Runtime``."""
        # RLIMIT_NPROC does not hold root.
        return held_by(self._groups) or frozenset({"processes"} if os.getuid() != 0 else ())

    def network(self, _wanted: Network) -> Network:
        """See ``Runtime``."""
        return Network.HOST

    def shares_listener(self, _network: Network) -> bool:
        """See ``Runtime``."""
        return True

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[TreeProcess]:
        """See ``Runtime``. Cancellation: the whole tree is gone (bounded)."""
        async with (
            open_group(self._groups, spec) as group,
            open_tree(_spawn(spec, group, self._adopted), spec) as process,
        ):
            yield process
