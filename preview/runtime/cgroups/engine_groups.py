"""Groups for what a container engine starts: the engine finds such a group by one path, in all hierarchies.

The engine is another process of this machine, and knows nothing of the service's own groups. In version 1 these may
have another path in each hierarchy. So the groups for an engine are at the top of each. An engine makes a missing group
again, without limits, and may still do so after a build has been given up. So the group above all builds has their
limits together, and stays after such a build until the service's next start; what is made below it is removed again.
Version 2 has no such group yet.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog
import trio

from preview.runtime.cgroups.group import Cgroup, GroupLimits, remove_groups
from preview.runtime.cgroups.home import Refused, home_name, why_refused
from preview.runtime.cgroups.own_groups import OwnGroup, OwnGroups, read_own_groups
from preview.runtime.cgroups.tree import CgroupTree
from preview.runtime.cgroups.v1 import V1Cgroup, V1Home

_log = structlog.get_logger(__name__)

_RELEASE_S: Final = 3.0
# After ``CgroupTree`` has waited for up to 4 s; together less than the time for a stop (``stop_budget_s``).
_END_S: Final = 3.0
# The next build waits this long for what earlier ones have left.
_EARLIER_S: Final = 1.0
# After this time the groups below are listed again: the engine may have made more of them.
_ROUND_S: Final = 0.25
_UNIFIED: Final = "unified"


class EngineGroups:
    """Makes groups for an engine. Only ``open_engine_groups`` makes one.

    Args:
        tree: Makes them.
        mounts: Where their hierarchies are mounted.
        name: The name of the group above all of them.

    Attributes:
        was_given_up: Whether a build failed or was given up: the engine may still start its step.
    """

    def __init__(self, tree: CgroupTree, mounts: frozenset[str], name: str) -> None:
        self._tree = tree
        self._mounts = mounts
        self._name = name
        self.was_given_up = False
        # Also those that are removed, until the next is opened: an engine makes missing groups again.
        self._ended: list[Cgroup] = []

    @asynccontextmanager
    async def open(
        self, name: str, *, memory_bytes: int, cpu_cores: float, processes: int
    ) -> AsyncIterator[tuple[Cgroup, str]]:
        """Open a group with limits, and yield it with the engine's path of it; see ``CgroupTree.open``.

        The engine may still be at work in the group at its end. A group that stays busy is removed at the next call.

        Args:
            name: No earlier group had this name.
            memory_bytes: See ``GroupLimits``.
            cpu_cores: See ``GroupLimits``.
            processes: See ``GroupLimits``.

        Raises:
            LaunchFailed: The kernel refuses the group, or a limit; nothing is left.

        Cancellation: all processes in it are killed, and it is removed (bounded).
        """
        await self._remove_earlier()
        async with (
            self._ending() as ended,
            self._tree.open(name, memory_bytes=memory_bytes, cpu_cores=cpu_cores, processes=processes) as group,
        ):
            ended.append(group)
            try:
                yield group, self._path_of(group)
            except BaseException:
                self.give_up()
                raise

    def give_up(self) -> None:
        """Note that the engine may still start a step of a build that has ended."""
        self.was_given_up = True

    def is_ended(self, path: str) -> bool:
        """Return whether a path of the engine is in the group of a build of this service that has ended, of any run."""
        start, _, below = path.partition(f"/{self._name}/")
        return not start and bool(below) and not self._tree.is_open(below.split("/")[0])

    async def remove_left(self) -> None:
        """Remove what the engine has made again of groups that have ended, with what runs in it (bounded).

        Cancellation: some are removed.
        """
        with trio.move_on_after(_EARLIER_S):
            for group in self._tree.left():
                await _remove(group)

    @asynccontextmanager
    async def _ending(self) -> AsyncIterator[list[Cgroup]]:
        """Yield a list for a group; at the end, remove what is left of it."""
        ended: list[Cgroup] = []
        try:
            yield ended
        finally:
            self._ended += ended
            with trio.move_on_after(_END_S, shield=True):
                for group in ended:
                    await _remove(group)

    async def _remove_earlier(self) -> None:
        """Remove what earlier builds have left, and what the engine has made again."""
        with trio.move_on_after(_EARLIER_S):
            async with trio.open_nursery() as nursery:
                for group in tuple(self._ended):
                    nursery.start_soon(self._remove_one, group)

    async def _remove_one(self, group: Cgroup) -> None:
        await _remove(group)
        # Another build may have done so.
        with suppress(ValueError):
            self._ended.remove(group)

    def _path_of(self, group: Cgroup) -> str:
        directory = group.directories[0]
        mount = next(one for one in self._mounts if f"{directory}/".startswith(f"{one}/"))
        return f"/{posixpath.relpath(directory, mount)}"


async def _remove(group: Cgroup) -> None:
    """Kill processes in a group that has ended, and remove it, until nothing is left. Bounded by the caller."""
    if not _is_left(group):
        return
    while _is_left(group):
        await group.kill()
        await remove_groups(group.directories, _ROUND_S)
    _log.info("control group removed late", name=group.name)


def _is_left(group: Cgroup) -> bool:
    return any(os.path.exists(one) for one in group.directories)  # noqa: PTH110  a few names


@asynccontextmanager
async def open_engine_groups(
    data_dir: Path, own: CgroupTree | None, limits: GroupLimits, places: OwnGroups | None = None
) -> AsyncIterator[EngineGroups | None]:
    """Open the groups for an engine; None where the service may make none. First ends those of an earlier run.

    Args:
        data_dir: The service's data folder, which must exist.
        own: The service's own groups.
        limits: Of all builds together.
        places: This process's groups; None reads them.

    Cancellation: the groups are removed (bounded).
    """
    if own is not None and own.version != 1:
        yield None
        return
    places = read_own_groups() if places is None else places
    tops = {name: OwnGroup(one.mount, one.mount) for name, one in places.controllers.items()}
    if places.unified is not None:
        # The engine makes its groups there too.
        tops[_UNIFIED] = OwnGroup(places.unified.mount, places.unified.mount)
    home = _EngineHome(f"{home_name(data_dir)}-engine", OwnGroups(controllers=tops), limits)
    groups: EngineGroups | None = None
    try:
        try:
            home.claim()
        except Refused:
            yield None
            return
        tree = CgroupTree(home)
        await tree.remove_leftovers()
        groups = EngineGroups(tree, frozenset(one.mount for one in tops.values()), home.name)
        yield groups
    finally:
        if groups is None or not groups.was_given_up:
            with trio.move_on_after(_RELEASE_S, shield=True):
                await _release(home)


async def _release(home: V1Home) -> None:
    # The engine may have made more groups below since they were listed. Bounded by the caller.
    while await home.release():
        await trio.lowlevel.checkpoint()


class _EngineHome(V1Home):
    """Has a group in each hierarchy, whatever it controls: the engine makes its own groups in all of them."""

    def __init__(self, name: str, places: OwnGroups, limits: GroupLimits) -> None:
        """See ``V1Home``; ``limits`` are those of all groups below together."""
        super().__init__(name, places)
        self._limits = limits

    def claim(self) -> None:
        """See ``Home``."""
        super().claim()
        try:
            V1Cgroup(self.name, self._limits, self._folders).apply()
        except OSError as error:
            raise Refused(why_refused(error, self.name)) from error
        for controller in self._places:
            with suppress(OSError):
                self._enter(controller)
