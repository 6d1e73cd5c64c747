"""Verifies through the kernel, not the template, which process is a fork.

Template and snapshot have run untrusted code. Their message only selects a process: the sender that the kernel attached
to it. Kernel objects that the service made or looked up itself decide whether a preview may get that process: the
control group in which it was created, and its PID namespace. Claimed processes are recorded, so that two previews never
get the same process.
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
from preview.runtime.warm.eligibility import namespaces_of, read_status, user_fields

# linux/nsfs.h: _IO(0xb7, 0x2), Linux 4.9.
_NS_GET_PARENT = 0xB702
_FIRST, _SECOND = "1", "2"
# Identities are never reused, so those of ended processes can be dropped (100 bytes each).
_MOST_UNCHECKED = 1024
_ALL_NAMESPACES = 6


def open_world(pid: int) -> int:
    """Return a descriptor of a process's PID namespace; while it is open, the kernel does not reuse its inode number.

    Raises:
        OSError: The process does not exist, or no file descriptor is free.
    """
    return os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


class _Given:
    """Forks that have already been claimed."""

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
    """Verifies the forks of a template.

    Args:
        group: The template's control group; None without control groups.
        world: Descriptor of the template's PID namespace, in which its keeper is the first process. The caller owns it.
        outside: Namespaces of the service and of the template, which no fork may be in.
    """

    def __init__(self, group: Cgroup | None, world: int, outside: frozenset[int]) -> None:
        self._group = group
        self._world = os.fstat(world).st_ino
        self.outside = outside
        self._given = _Given()

    def claim_first(self, pid: int, *, user: tuple[int, int], own_user: bool) -> OpenProcess:
        """Claim the first process of a fork for the caller alone.

        Args:
            pid: Sender of a message.
            user: Required user and group of the process.
            own_user: Whether no other process has this user.

        Raises:
            NotVerified: The process is not the first of a fork, or has been claimed before.
            OSError: No file descriptor is free.
        """
        process = verify(pid, lambda pid: next(self._faults(pid, user, own_user=own_user), None))
        self._given.add(process)
        return process

    def _faults(self, pid: int, user: tuple[int, int], *, own_user: bool) -> Iterator[str]:
        if proctree.identify(pid) in self._given:
            yield "it names a fork that was given to a preview before"
        # Processes given to a preview are in the preview's group, and so are their children.
        if self._group is not None and not _is_in(self._group, pid):
            yield "it names a process outside of its template's control group"
        status = read_status(pid)
        if status["NSpid"].split()[-1] != _FIRST or _parent_of_world(pid) != self._world:
            yield "it names a process that is not the first of a namespace below its template's"
        if user_fields(status) != user:
            yield "it names a process of another user"
        if own_user and status["Groups"]:
            yield "it names a process with groups besides its own"
        inside = namespaces_of(pid)
        if inside & self.outside or len(inside) != _ALL_NAMESPACES:
            yield "it names a process in a namespace of its template"


def claim_application(pid: int, first: OpenProcess, group: Cgroup | None) -> OpenProcess:
    """Claim the future application of a fork.

    Args:
        pid: Sender of a message.
        first: The fork's first process.
        group: The fork's control group, which ``first`` has entered; None without control groups.

    Raises:
        NotVerified: The process is not the second of the fork's namespace, or is outside of its group.
        OSError: No file descriptor is free.
    """

    def faults(pid: int) -> Iterator[str]:
        if group is not None and not _is_in(group, pid):
            yield "it names a process outside of its preview's control group"
        if read_status(pid)["NSpid"].split()[-1] != _SECOND or _world_of(pid) != _world_of(first.pid):
            yield "it names a process that is not the second of its fork's namespace"

    process = verify(pid, lambda pid: next(faults(pid), None))
    if first.has_ended:
        # Its pid may have been reused when its namespace was looked up.
        process.close()
        raise NotVerified("its first process has ended")
    return process


class SnapshotOrigin:
    """Verifies the forks of a snapshot by its control group, which contains one preview's processes only.

    Args:
        first: The first process of the snapshot's namespace.
        application: The process that imports the application, and forks.
        group: The snapshot's control group.
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
            pid: Sender of a message.

        Raises:
            NotVerified: The process is not a fork of this snapshot, or has been claimed before.
            OSError: No file descriptor is free.
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
    """Return whether the process is in the group. Only the service moves processes, so one hierarchy is enough."""
    return pid in pids_in(group.directories[0])


def _world_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}/ns/pid").st_ino  # noqa: PTH116


def _parent_of_world(pid: int) -> int | None:
    """Return the inode number of the PID namespace's parent; None if not visible."""
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
