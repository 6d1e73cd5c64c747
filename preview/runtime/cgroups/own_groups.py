"""The service's own control groups, from ``/proc/self/cgroup`` and ``/proc/self/mountinfo``.

Machines mount them differently: one hierarchy for all controllers (v2), one for each controller or for some together
(v1), or both, with controllers in either. In a container the mount may show only a part of a hierarchy.

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
    """Group of this process in one hierarchy.

    Attributes:
        mount: Mount point of the hierarchy.
        directory: The group's folder: ``mount``, or a folder below it.
    """

    mount: str
    directory: str

    @property
    def line(self) -> list[str]:
        """The group's folder, then its parents, nearest first, up to the mount."""
        found = [self.directory]
        while found[-1] != self.mount:
            found.append(posixpath.dirname(found[-1]))
        return found


@dataclass(frozen=True, slots=True)
class OwnGroups:
    """Groups of this process in all hierarchies that it can reach.

    Attributes:
        unified: Group in the hierarchy of version 2; None if that is not mounted.
        controllers: Groups in version 1, by controller (``memory``, ``cpu``, ``cpuacct``, ``pids``, …).
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
    """Decode a path of ``mountinfo``, which contains spaces and similar characters as octal numbers."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def _is_outside(path: str) -> bool:
    """Return whether the first part of the path is ``..``; a group's own name may also begin with two dots."""
    return path.lstrip("/").split("/", 1)[0] == ".."


def _place(path: str, mounts: list[_Mount]) -> OwnGroup | None:
    """Return the group's folder in the first mount that shows it; ``..`` means outside of the namespace."""
    for mount in mounts:
        below = posixpath.relpath(path, mount.root)
        if not any(_is_outside(one) for one in (path, mount.root, below)):
            return OwnGroup(mount.point, posixpath.normpath(posixpath.join(mount.point, below)))
    return None


def find_own_groups(mountinfo: str, membership: str) -> OwnGroups:
    """Parse both files; omit hierarchies that are not mounted, or whose mount does not show the group."""
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
    """Return this process's current groups."""
    return find_own_groups(
        Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"),
        Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace"),
    )
