"""Groups for what a container engine starts: the engine finds such a group by one path, in all hierarchies.

The engine is another process of this machine, and knows nothing of the service's own groups. In version 1 these may
have another path in each hierarchy. So the groups for an engine are at the top of each; in version 2 they are among the
service's own.
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from preview.runtime.cgroups.group import Cgroup
from preview.runtime.cgroups.home import Refused, home_name
from preview.runtime.cgroups.own_groups import OwnGroup, OwnGroups, read_own_groups
from preview.runtime.cgroups.tree import CgroupTree
from preview.runtime.cgroups.v1 import V1Home

_RELEASE_S: Final = 3.0
_UNIFIED: Final = "unified"


class EngineGroups:
    """Makes groups for an engine. Only ``open_engine_groups`` makes one.

    Args:
        tree: Makes them.
        mounts: Where their hierarchies are mounted.
    """

    def __init__(self, tree: CgroupTree, mounts: frozenset[str]) -> None:
        self._tree = tree
        self._mounts = mounts

    @asynccontextmanager
    async def open(
        self, name: str, *, memory_bytes: int, cpu_cores: float, processes: int
    ) -> AsyncIterator[tuple[Cgroup, str]]:
        """Open a group with limits, and yield it with the engine's path of it; see ``CgroupTree.open``.

        Raises:
            LaunchFailed: The kernel refuses the group, or a limit; nothing is left.

        Cancellation: all processes in it are killed, and it is removed (bounded).
        """
        async with self._tree.open(name, memory_bytes=memory_bytes, cpu_cores=cpu_cores, processes=processes) as group:
            yield group, self._path_of(group)

    def _path_of(self, group: Cgroup) -> str:
        directory = group.directories[0]
        mount = next(one for one in self._mounts if f"{directory}/".startswith(f"{one}/"))
        return f"/{posixpath.relpath(directory, mount)}"


@asynccontextmanager
async def open_engine_groups(
    data_dir: Path, own: CgroupTree | None, places: OwnGroups | None = None
) -> AsyncIterator[EngineGroups | None]:
    """Open the groups for an engine; None where the service may make none. First ends those of an earlier run.

    Args:
        data_dir: The service's data folder, which must exist.
        own: The service's own groups.
        places: This process's groups; None reads them.

    Cancellation: the groups are removed (bounded).
    """
    places = read_own_groups() if places is None else places
    if own is not None and own.version == 2:
        mounts = set() if places.unified is None else {places.unified.mount}
        yield EngineGroups(own, frozenset(mounts)) if mounts else None
        return
    tops = {name: OwnGroup(one.mount, one.mount) for name, one in places.controllers.items()}
    if places.unified is not None:
        # The engine makes its groups there too.
        tops[_UNIFIED] = OwnGroup(places.unified.mount, places.unified.mount)
    home = _EngineHome(f"{home_name(data_dir)}-engine", OwnGroups(controllers=tops))
    try:
        try:
            home.claim()
        except Refused:
            yield None
            return
        tree = CgroupTree(home)
        await tree.remove_leftovers()
        yield EngineGroups(tree, frozenset(one.mount for one in tops.values()))
    finally:
        with trio.move_on_after(_RELEASE_S, shield=True):
            await home.release()


class _EngineHome(V1Home):
    """Has a group in each hierarchy, whatever it controls: the engine makes its own groups in all of them."""

    def claim(self) -> None:
        """See ``Home``."""
        super().claim()
        for controller in self._places:
            with suppress(OSError):
                self._enter(controller)
