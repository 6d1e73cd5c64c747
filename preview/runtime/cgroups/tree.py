"""The groups of one service: one for each preview, and the end of those that an earlier run left."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.errors import LaunchFailed
from preview.runtime.cgroups import files
from preview.runtime.cgroups.group import Cgroup, GroupLimits, remove_groups
from preview.runtime.cgroups.home import Home
from preview.runtime.kernel.verified import find_living

log = structlog.get_logger(__name__)

# A name is a folder's: no path, nothing hidden, nothing that a file of the kernel's in it is called.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
# Killing is milliseconds of work; what the kernel cannot end at once (a full disk's writer) is the next start's.
_KILL_S = 3.0
_REMOVE_S = 1.0
_POLL_S = 0.005


class CgroupTree:
    """Makes the previews' groups. Made by ``open_cgroups`` alone."""

    def __init__(self, home: Home) -> None:
        """Args: home: claimed."""
        self._home = home
        self._open: set[str] = set()

    @property
    def version(self) -> int:
        """Of control groups: 1 or 2."""
        return self._home.version

    @property
    def directories(self) -> tuple[str, ...]:
        """The service's own group's folder, in each tree."""
        return self._home.roots

    @property
    def without_cpu(self) -> str | None:
        """Reason why processor time is not limited; None if it is. Memory and processes always are."""
        return self._home.without_cpu

    def describe(self) -> Mapping[str, str]:
        """Describe the groups' limits, for ``preview doctor`` and the status."""
        by = f"control groups, version {self.version}"
        return {
            "memory": f"the whole tree, by {by}",
            "processes": f"the whole tree, by {by}",
            "cpu": f"the whole tree, by {by}" if self.without_cpu is None else f"not limited: {self.without_cpu}",
        }

    @asynccontextmanager
    async def open(self, name: str, *, memory_bytes: int, cpu_cores: float, processes: int) -> AsyncIterator[Cgroup]:
        """Provide a group for one preview's tree; at the end everything in it is killed, and it is removed.

        Nothing is reaped: start processes so that somebody does it. ``events`` answers afterwards, too.

        Args:
            name: The preview's id; one group of a name at a time.
            memory_bytes: See ``GroupLimits``.
            cpu_cores: See ``GroupLimits``.
            processes: See ``GroupLimits``.

        Raises:
            LaunchFailed: The kernel refuses the group, or one of the limits; nothing is left.

        Cancellation: the processes are dead, and the group is gone (bounded: what cannot be ended is logged, and found
        by ``remove_leftovers`` of the next start).
        """
        if not _NAME.fullmatch(name) or name in self._open:
            raise ValueError(f"not a free name for a control group: {name!r}")
        self._open.add(name)
        try:
            group = await self._create(name, GroupLimits(memory_bytes, cpu_cores, processes))
            try:
                yield group
            finally:
                with trio.move_on_after(_KILL_S + _REMOVE_S, shield=True) as scope:
                    await retry_on_fd_exhaustion(partial(self._end, group))
                if scope.cancelled_caught:
                    log.error("control group not ended", name=name, directories=group.directories)
        finally:
            self._open.discard(name)

    async def _create(self, name: str, limits: GroupLimits) -> Cgroup:
        try:
            # In a thread: the kernel lets it wait for any process that is about to enter another group (see ``door``).
            create = partial(trio.to_thread.run_sync, self._home.create, name, limits)
            try:
                return await create()
            except FileExistsError:
                # The preview ran before, and something in it could not be ended in time; perhaps it has by now.
                await self._end(self._home.adopt(name))
                return await create()
        except OSError as error:
            raise LaunchFailed(
                f"The limits of memory, processes and processor time could not be set ({error.filename}: "
                f"{error.strerror}); see `preview doctor`.",
                errno=error.errno,
            ) from error

    async def _end(self, group: Cgroup) -> None:
        # The usual case: the runtime has ended all of it. A group that holds anything is not removed (EBUSY).
        if group.remove_empty():
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(_KILL_S):
            await group.kill()
        left = await remove_groups(group.directories, _REMOVE_S)
        if left:
            log.error("control group not removed", name=group.name, pids=group.pids(), directories=left)

    async def remove_leftovers(self) -> int:
        """Kill what an earlier run of this service left in its groups, and remove them; groups open now stay.

        For the start, under the data folder's lock: any other service with groups of this name is dead.

        Returns:
            How many processes were killed.

        Cancellation: what was found first has been killed; the rest stays for the next start.
        """
        directories = [
            directory
            for left in await trio.to_thread.run_sync(self._home.leftovers)
            for directory in files.groups_below(left)
            if not self._is_open(directory)
        ]
        killed = await _kill_in(directories)
        for directory in await remove_groups([one for one in directories if one not in self.directories], _REMOVE_S):
            log.error("earlier control group not removed", directory=directory)
        return killed

    def _is_open(self, directory: str) -> bool:
        return any(f"{directory}/".startswith(f"{root}/{name}/") for root in self.directories for name in self._open)


async def _kill_in(directories: list[str]) -> int:
    def pids() -> set[int]:
        return {pid for directory in directories for pid in files.pids(directory)}

    killed = set()
    with trio.move_on_after(_KILL_S):
        while found := find_living(pids):
            for process in found:
                process.kill()
            killed.update(found)
            await trio.sleep(_POLL_S)
    return len(killed)
