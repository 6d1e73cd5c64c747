"""The service's own control groups, from ``/proc/self/cgroup`` and ``/proc/self/mountinfo``.

Every machine mounts them differently: one tree for all controllers (v2), one tree for each or for a few of them
together (v1), or both, with the controllers on either side. In a container the mount may show a part of a tree only.

Source: cgroups(7), proc_pid_cgroup(5), proc_pid_mountinfo(5).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class OwnGroup:
    """Own group of the process in one tree.

    Attributes:
        mount: Where the tree is mounted.
        directory: The group's folder; ``mount`` or below it.
    """

    mount: str
    directory: str

    @property
    def line(self) -> list[str]:
        """The group's own folder, then those above it, nearest first, up to the mount."""
        found = [self.directory]
        while found[-1] != self.mount:
            found.append(posixpath.dirname(found[-1]))
        return found


@dataclass(frozen=True, slots=True)
class OwnGroups:
    """Own groups of the process in all trees that it can reach.

    Attributes:
        unified: In the tree of version 2, where one is mounted.
        controllers: In the trees of version 1, by controller (``memory``, ``cpu``, ``cpuacct``, ``pids``, …).
    """

    unified: OwnGroup | None = None
    controllers: dict[str, OwnGroup] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Mount:
    root: str
    point: str
    kind: str
    options: frozenset[str]


def _mounts(mountinfo: str) -> list[_Mount]:
    found = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if separator and len(left) >= 5 and right and right[0] in {"cgroup", "cgroup2"}:
            options = frozenset(right[2].split(",")) if len(right) > 2 else frozenset()
            found.append(_Mount(_plain(left[3]), _plain(left[4]), right[0], options))
    return found


def _plain(text: str) -> str:
    """Return a path of ``mountinfo``: spaces and the like stand in it as octal numbers."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def _is_outside(path: str) -> bool:
    """Return whether the path is outside; a group's own name may begin with two dots too."""
    return path.lstrip("/").split("/", 1)[0] == ".."


def _place(path: str, mounts: list[_Mount]) -> OwnGroup | None:
    """Return the group's folder in the first mount that shows it (``..`` is outside of the namespace)."""
    for mount in mounts:
        below = posixpath.relpath(path, mount.root)
        if not any(_is_outside(one) for one in (path, mount.root, below)):
            return OwnGroup(mount.point, posixpath.normpath(posixpath.join(mount.point, below)))
    return None


def find_own_groups(mountinfo: str, membership: str) -> OwnGroups:
    """Find the groups from both texts; leaves out trees that are not mounted, or show another part."""
    mounts = _mounts(mountinfo)
    unified = None
    controllers: dict[str, OwnGroup] = {}
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        names, separator, path = rest.partition(":")
        if not separator or not path.startswith("/"):
            continue
        if number == "0" and not names:
            unified = _place(path, [one for one in mounts if one.kind == "cgroup2"])
            continue
        wanted = frozenset(names.split(","))
        place = _place(path, [one for one in mounts if one.kind == "cgroup" and wanted <= one.options])
        if place is not None:
            controllers.update(dict.fromkeys(wanted, place))
    return OwnGroups(unified, controllers)


def read_own_groups() -> OwnGroups:
    """Return the places of this process now."""
    return find_own_groups(
        Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"),
        Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace"),
    )
