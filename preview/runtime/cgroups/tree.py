"""The control groups of one service: one per preview, and the removal of groups left by an earlier run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.core.descriptors import retry_on_fd_exhaustion
from preview.errors import LaunchFailed
from preview.runtime.cgroups import files
from preview.runtime.cgroups.group import Cgroup, GroupLimits, remove_groups
from preview.runtime.cgroups.home import Home
from preview.runtime.kernel.verified import find_living

log = structlog.get_logger(__name__)

# A group's name is a folder's name: no path, not hidden, and no name of a kernel file in the parent folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
# Killing takes milliseconds; the next start handles processes that the kernel cannot end (a full disk's writer).
_KILL_S = 3.0
_REMOVE_S = 1.0
_POLL_S = 0.005


class CgroupTree:
    """Makes the previews' groups. Only ``open_cgroups`` makes one."""

    def __init__(self, home: Home) -> None:
        """Store the home, which must be claimed."""
        self._home = home
        self._open: set[str] = set()

    @property
    def version(self) -> int:
        """Version of control groups: 1 or 2."""
        return self._home.version

    @property
    def directories(self) -> tuple[str, ...]:
        """The folder of the service's group in each hierarchy."""
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
        """Open a group for one preview's tree; at the end every process in it is killed, and the group is removed.

        Nothing is reaped: the caller must start processes so that a parent reaps them. ``events`` works afterwards.

        Args:
            name: The preview's id; a name can be used once at a time.
            memory_bytes: See ``GroupLimits``.
            cpu_cores: See ``GroupLimits``.
            processes: See ``GroupLimits``.

        Raises:
            LaunchFailed: The kernel refuses the group, or a limit; nothing is left.

        Cancellation: all processes are killed, and the group is removed (bounded). A group that remains is logged, and
        ``remove_leftovers`` of the next start finds it.
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
            # In a thread, because the kernel blocks it while any process is entering a group (``migration_lock``).
            create = partial(trio.to_thread.run_sync, self._home.create, name, limits)
            try:
                return await create()
            except FileExistsError:
                # An earlier run of the preview left a process that had not ended in time; it may have ended by now.
                await self._end(self._home.adopt(name))
                return await create()
        except OSError as error:
            raise LaunchFailed(
                f"The limits of memory, processes and processor time could not be set ({error.filename}: "
                f"{error.strerror}); see `preview doctor`.",
                errno=error.errno,
            ) from error

    async def _end(self, group: Cgroup) -> None:
        # Usually the runtime has ended all processes. The kernel does not remove a group with processes (EBUSY).
        if group.remove_empty():
            await trio.lowlevel.checkpoint()
            return
        with trio.move_on_after(_KILL_S):
            await group.kill()
        left = await remove_groups(group.directories, _REMOVE_S)
        if left:
            log.error("control group not removed", name=group.name, pids=group.pids(), directories=left)

    def is_open(self, name: str) -> bool:
        """Return whether the group of this name is open."""
        return name in self._open

    def left(self) -> list[Cgroup]:
        """Return the groups below the service's own that are not open: an engine makes those of ended builds again."""
        names: set[str] = set()
        for root in self.directories:
            with suppress(OSError):
                names.update(one.name for one in Path(root).iterdir() if one.is_dir())
        return [self._home.adopt(name) for name in sorted(names - self._open)]

    async def remove_leftovers(self) -> int:
        """Kill processes of an earlier run in this service's groups, and remove those groups; open groups stay.

        Call it at the start, under the data folder's lock: then no other service uses groups of this name.

        Returns:
            Number of killed processes.

        Cancellation: some processes have been killed; the next start handles the rest.
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
