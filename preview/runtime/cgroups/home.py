"""The service's own group, in each hierarchy that it needs; the previews' groups are below it."""

from __future__ import annotations

import errno
import hashlib
import os
from abc import ABC, abstractmethod
from pathlib import Path

from preview.runtime.cgroups.files import groups_below
from preview.runtime.cgroups.group import Cgroup, GroupLimits, remove_groups

# Twelve hexadecimal digits, 48 bits: enough for two data folders of one machine never to collide.
_HASH_LENGTH = 12
# Time limit for removing the groups at the end; the kernel takes milliseconds.
_RELEASE_S = 1.0


class Refused(Exception):
    """Control groups are not usable here. The message tells the operator what is missing, and what to do."""


def home_name(data_dir: Path) -> str:
    """Return the name of the service's group, derived from its data folder: stable and unique.

    The folder's inode is included: two containers may both have a ``/data``, and see each other's groups.
    """
    path = data_dir.resolve()
    try:
        status = path.stat()
    except OSError:
        marks = str(path)
    else:
        marks = f"{path}\0{status.st_dev}\0{status.st_ino}"
    return f"preview-{hashlib.sha256(marks.encode()).hexdigest()[:_HASH_LENGTH]}"


def why_refused(error: OSError, directory: str) -> str:
    """Return one sentence about a refused write in, or below, the group in ``directory``."""
    if error.errno == errno.EROFS:
        return (
            f"The control groups at {directory} are mounted read-only, as containers have them by default; mount them "
            "writable for this container, or run the service outside of it."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        # Root of a container, or of a range of ids, is refused too.
        who = f"User {os.getuid()}" if os.getuid() else "Root of this user namespace"
        return (
            f"{who} may not make control groups in {directory}; run the service as a systemd unit with Delegate=yes, "
            "or start it as the machine's root (docs/settings.md, Control groups)."
        )
    if error.errno == errno.EBUSY:
        return (
            f"The control group {directory} holds other programs' processes, so none can be made below it; run the "
            "service as a systemd unit of its own with Delegate=yes (docs/settings.md, Control groups)."
        )
    if error.errno in (errno.ENOENT, errno.ENODEV):
        return (
            f"The kernel does not offer {error.filename or directory}; use one built with control groups for memory "
            "and pids (cgroup_enable=memory on its command line, where a distribution turns it off)."
        )
    return f"The control groups at {directory} cannot be used: {error.strerror or error}; run the service as root."


class Home(ABC):
    """The service's group in each hierarchy of one version.

    Attributes:
        version: 1 or 2.
        name: Name of the service's group, see ``home_name``.
        without_cpu: Reason why processor time is not limited; None if it is.
    """

    version: int

    def __init__(self, name: str) -> None:
        """Store the name, see ``home_name``; ``claim`` makes the group."""
        self.name = name
        self.without_cpu: str | None = None
        self._roots: list[str] = []

    @property
    def roots(self) -> tuple[str, ...]:
        """The folder of the service's group in each hierarchy."""
        return tuple(self._roots)

    @abstractmethod
    def claim(self) -> None:
        """Make the service's group.

        Raises:
            Refused: The group cannot be made or used. ``release`` undoes the steps done so far.
        """

    @abstractmethod
    def _give_back(self) -> None:
        """Undo all changes of ``claim`` except folders."""

    @abstractmethod
    def _group(self, name: str, limits: GroupLimits, directories: list[str]) -> Cgroup: ...

    @abstractmethod
    def leftovers(self) -> list[str]:
        """Return folders of groups with the service's name, anywhere in the hierarchies, from this or earlier runs."""

    def adopt(self, name: str) -> Cgroup:
        """Return the existing group of this name, to kill its processes; its limits are unknown."""
        return self._group(name, GroupLimits(0, 0.0, 0), [f"{root}/{name}" for root in self._roots])

    def create(self, name: str, limits: GroupLimits) -> Cgroup:
        """Make a group and set its limits.

        Raises:
            OSError: The kernel refuses; nothing is left.
        """
        made: list[str] = []
        try:
            for root in self._roots:
                os.mkdir(f"{root}/{name}", 0o755)  # noqa: PTH102  no pathlib on the way of a launch
                made.append(f"{root}/{name}")
            group = self._group(name, limits, made)
            group.apply()
        except OSError:
            for directory in made:
                os.rmdir(directory)  # noqa: PTH106
            raise
        return group

    async def release(self) -> list[str]:
        """Remove the service's group, which must be empty, and undo other changes.

        Returns:
            Folders that could not be removed.

        Cancellation: some changes may remain. Call it under a bounded shield.
        """
        left = await remove_groups(self._roots, _RELEASE_S)
        self._give_back()
        return left

    def _make_root(self, parent: str) -> None:
        """Make the service's group in one hierarchy, or take over the group of an earlier run that was killed."""
        root = f"{parent}/{self.name}"
        Path(root).mkdir(mode=0o755, exist_ok=True)
        self._roots.append(root)


def named_below(mount: str, name: str) -> list[str]:
    """Return folders of this name anywhere below a mount (hundreds of groups take some milliseconds)."""
    return [path for path in groups_below(mount) if path.rpartition("/")[2] == name]
