"""Origins of forks: the kernel decides, not the template, which process is a fork.

Both have run a stranger's code. A message of theirs selects a process by the sender that the kernel attached to it, and
no more. Whether that is a fork that may be given to a preview is found out from kernel objects that the service made or
looked up itself: the control group in which it was born, and the namespace of processes that it is in. What is given
away is noted, so that two previews never get the same process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

from preview.runtime.cgroups import Cgroup
from preview.runtime.cgroups.files import pids as pids_in
from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import NotVerified, OpenProcess, verify
from preview.runtime.warm.eligibility import namespaces_of, read_status

# linux/nsfs.h: _IO(0xb7, 0x2), Linux 4.9.
_NS_GET_PARENT = 0xB702
_FIRST, _SECOND = "1", "2"
# Identities are never used again, so those of ended processes are only in the way: 100 bytes each.
_MOST_UNCHECKED = 1024
_ALL_NAMESPACES = 6


def open_world(pid: int) -> int:
    """Return a descriptor of a process's pid namespace: while it is open no other has its number.

    Raises:
        OSError: There is no such process, or no descriptor is left.
    """
    return os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


class _Given:
    """Forks that are somebody's already."""

    def __init__(self) -> None:
        self._given: set[ProcessIdentity] = set()
        self._look_at = _MOST_UNCHECKED

    def __contains__(self, identity: object) -> bool:
        return identity in self._given

    def add(self, process: OpenProcess) -> None:
        self._given.add(process.identity)
        if len(self._given) >= self._look_at:
            self._given = {one for one in self._given if proctree.is_alive(one)}
            self._look_at = len(self._given) + _MOST_UNCHECKED


class TemplateOrigin:
    """Origin of a template's forks.

    Args:
        group: The template's control group; None where there are none.
        world: A descriptor of the template's namespace of processes, in which it runs below its keeper; the caller's.
        outside: Namespaces of the service and of the template, which no fork may be in.
    """

    def __init__(self, group: Cgroup | None, world: int, outside: frozenset[int]) -> None:
        self._group = group
        self._world = os.fstat(world).st_ino
        self.outside = outside
        self._given = _Given()

    def claim_first(self, pid: int, *, uid: int, own_user: bool) -> OpenProcess:
        """Claim the first process of a fork for the caller alone.

        Args:
            pid: The sender of a message.
            uid: The user that it should be.
            own_user: Whether that is no other process's.

        Raises:
            NotVerified: It is no such process, or somebody has it.
            OSError: No descriptor is left.
        """
        process = verify(pid, lambda pid: next(self._faults(pid, uid, own_user=own_user), None))
        self._given.add(process)
        return process

    def _faults(self, pid: int, uid: int, *, own_user: bool) -> Iterator[str]:
        if proctree.identify(pid) in self._given:
            yield "it names a fork that was given to a preview before"
        # All that were given to a preview are in that one's group, and so is what they fork.
        if self._group is not None and not _is_in(self._group, pid):
            yield "it names a process outside of its template's control group"
        status = read_status(pid)
        if status["NSpid"].split()[-1] != _FIRST or _parent_of_world(pid) != self._world:
            yield "it names a process that is not the first of a namespace below its template's"
        if set(status["Uid"].split()) != {str(uid)} or set(status["Gid"].split()) != {str(uid)}:
            yield "it names a process of another user"
        if own_user and status["Groups"]:
            yield "it names a process with groups besides its own"
        inside = namespaces_of(pid)
        if inside & self.outside or len(inside) != _ALL_NAMESPACES:
            yield "it names a process in a namespace of its template"


def claim_application(pid: int, first: OpenProcess, group: Cgroup | None) -> OpenProcess:
    """Claim the future application of a fork.

    Args:
        pid: The sender of a message.
        first: The fork's first process.
        group: The fork's control group, which ``first`` has entered; None where there are none.

    Raises:
        NotVerified: It is no such process.
        OSError: No descriptor is left.
    """

    def faults(pid: int) -> Iterator[str]:
        if group is not None and not _is_in(group, pid):
            yield "it names a process outside of its preview's control group"
        if read_status(pid)["NSpid"].split()[-1] != _SECOND or _world_of(pid) != _world_of(first.pid):
            yield "it names a process that is not the second of its fork's namespace"

    process = verify(pid, lambda pid: next(faults(pid), None))
    if first.has_ended:
        # Its number may have been another's when its namespace was looked up.
        process.close()
        raise NotVerified("its first process has ended")
    return process


class SnapshotOrigin:
    """Origin of a snapshot's forks: the snapshot's control group, which holds one preview's alone.

    Args:
        first: The first process of the snapshot's namespace.
        application: Imports the application, and forks.
        group: The snapshot's.
    """

    def __init__(self, first: OpenProcess, application: OpenProcess, group: Cgroup) -> None:
        self._first = first
        self._group = group
        self._given = _Given()
        for own in (first, application):
            self._given.add(own)

    def claim(self, pid: int) -> OpenProcess:
        """Claim a fork for the caller alone.

        Args:
            pid: The sender of a message.

        Raises:
            NotVerified: It is no fork of this snapshot, or somebody has it.
            OSError: No descriptor is left.
        """
        process = verify(pid, lambda pid: next(self._faults(pid), None))
        self._given.add(process)
        return process

    def _faults(self, pid: int) -> Iterator[str]:
        if proctree.identify(pid) in self._given:
            yield "it names a process that is in use"
        if not _is_in(self._group, pid):
            yield "it names a process outside of its snapshot's control group"
        if _world_of(pid) != _world_of(self._first.pid):
            yield "it names a process outside of its snapshot's namespace"


def _is_in(group: Cgroup, pid: int) -> bool:
    """Return whether it is in the group: only the service moves processes, so one tree decides."""
    return pid in pids_in(group.directories[0])


def _world_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116


def _parent_of_world(pid: int) -> int | None:
    """Return the parent of a process's pid namespace; None if not visible."""
    world = open_world(pid)
    try:
        parent = fcntl.ioctl(world, _NS_GET_PARENT)
    except OSError:
        return None
    finally:
        os.close(world)
    try:
        return os.fstat(parent).st_ino
    finally:
        os.close(parent)
