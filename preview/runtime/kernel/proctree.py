"""Reads process trees from ``/proc`` (proc(5)); ends no process, see ``ending``.

Processes of an earlier run are found by the marker ``PREVIEW_INSTANCE_ID`` in their initial environment; for a live
tree see ``membership``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_IWUSR

import trio

from preview.core.descriptors import raise_want, wait_readable, waited_on
from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel.linux import boot_id

MARKER = "PREVIEW_INSTANCE_ID"
# Of a template and its forks, whose first environment is the template's: the pid of their service.
SERVICE_MARKER = "PREVIEW_SERVICE_PID"

_READ_BYTES = 64 * 1024
# More than an environment has at its start: 6 MiB (execve(2)).
_MOST_BYTES = 8 * 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")

# States of a process that waits to be reaped, or is being reaped.
_ENDED = frozenset("ZX")
# States of a process that runs no instruction until it is continued (T, t), or that has ended.
_STOPPED = frozenset("TtZX")
# Errors of reading about a process that has gone, or belongs to another user.
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def _read(path: str) -> bytes:
    """Return a file of ``/proc``, without ``pathlib``, because ending many previews reads hundreds of files.

    A program may make its environment as large as its memory (PR_SET_MM in prctl(2)): the rest is left out.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts, left = [], _MOST_BYTES
        while left > 0 and (part := os.read(descriptor, _READ_BYTES)):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Stat:
    """Content of ``/proc/PID/stat``.

    Attributes:
        identity: Identity of the process.
        name: Name of its program, at most 15 bytes.
        has_ended: Whether it waits to be reaped (a zombie), or is being reaped.
        is_stopped: Whether it has ended, or is stopped by a signal.
        parent: Pid of its parent.
        session: Id of its session, which is the pid of the session's leader.
    """

    identity: ProcessIdentity
    name: str
    has_ended: bool
    is_stopped: bool
    parent: int
    session: int


def read_stat(pid: int) -> Stat | None:
    """Return the process's state; None if there is none with this pid."""
    try:
        text = _read(f"/proc/{pid}/stat").decode("utf-8", "replace")
    except GONE:
        return None
    # Field 3 and up: state, ppid, pgrp, session, …, starttime (22). The name before them may contain spaces.
    end = text.rindex(")")
    fields = text[end + 2 :].split()
    identity = ProcessIdentity(pid, int(fields[19]), boot_id())
    name, state = text[text.index("(") + 1 : end], fields[0]
    return Stat(identity, name, state in _ENDED, state in _STOPPED, int(fields[1]), int(fields[3]))


def identify(pid: int) -> ProcessIdentity | None:
    """Return the process's identity, or None if there is none with this pid."""
    stat = read_stat(pid)
    return None if stat is None else stat.identity


def is_alive(identity: ProcessIdentity) -> bool:
    """Return whether exactly this process still runs (a zombie has ended)."""
    stat = read_stat(identity.pid)
    return stat is not None and not stat.has_ended and stat.identity == identity


def is_running(identity: ProcessIdentity) -> bool:
    """Return whether exactly this process may run: it has not ended, and is not stopped by a signal."""
    stat = read_stat(identity.pid)
    return stat is not None and not stat.is_stopped and stat.identity == identity


def children(pid: int) -> list[int]:
    """Return direct children of a process, of all its threads (``/proc/PID/task/TID/children``)."""
    found: list[int] = []
    with suppress(*GONE):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  names, not paths: 3 x faster
            with suppress(*GONE):
                found.extend(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory, with shared pages; 0 if it has gone (``/proc/PID/statm``).

    Raises:
        OSError: No file descriptor is free.
    """
    try:
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE_BYTES
    except GONE:
        return 0


def descendants(pid: int) -> list[int]:
    """Return all processes below this one, nearest first."""
    found: list[int] = []
    seen = {pid}
    queue = [pid]
    while queue:
        for child in children(queue.pop(0)):
            if child not in seen:
                seen.add(child)
                found.append(child)
                queue.append(child)
    return found


def read_marker(pid: int) -> str | None:
    """Return the preview's marker in a process's initial environment, or None.

    Raises:
        OSError: No file descriptor is free.
    """
    try:
        environment = _read(f"/proc/{pid}/environ")
    except OSError as error:
        raise_want(error)
        return None
    prefix = MARKER.encode() + b"="
    for item in environment.split(b"\0"):
        if item.startswith(prefix):
            return item[len(prefix) :].decode("utf-8", "replace")
    return None


def working_folder(pid: int) -> Path | None:
    """Return a process's working folder, even if it was removed; None if the process has gone."""
    try:
        return Path(str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return None


def namespace_pids(pid: int) -> list[int]:
    """Return a process's pid in each of its PID namespaces, outermost first; empty if gone.

    A single number means that the process is in the namespace in which ``/proc`` was mounted (``NSpid`` in proc(5)).
    """
    try:
        status = _read(f"/proc/{pid}/status")
    except GONE:
        return []
    return [int(number) for line in status.splitlines() if line.startswith(b"NSpid:") for number in line.split()[1:]]


def namespace_groups(pid: int) -> list[int]:
    """Return a process's group number in each of its namespaces, outermost first (``NSpgid`` in proc(5)).

    0 means that the group has no number in a namespace.

    Raises:
        OSError: One of ``GONE``.
    """
    status = _read(f"/proc/{pid}/status")
    return [int(number) for line in status.splitlines() if line.startswith(b"NSpgid:") for number in line.split()[1:]]


def pipes_written(pid: int) -> frozenset[str]:
    """Return the pipes whose writing end a process has open, as the links in ``/proc`` name them: ``pipe:[INODE]``.

    Reading ends do not count, because every fork of the service has them open until its ``exec``.

    Raises:
        OSError: No file descriptor is free.
    """
    found: set[str] = set()
    try:
        names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208  names, not paths
    except OSError as error:
        raise_want(error)
        return frozenset()
    for name in names:
        with suppress(OSError):
            link = f"/proc/{pid}/fd/{name}"
            target = os.readlink(link)  # noqa: PTH115
            # The link's mode shows whether the descriptor is open for writing (proc(5)).
            if target.startswith("pipe:") and os.lstat(link).st_mode & S_IWUSR:
                found.add(target)
    return frozenset(found)


def marked(preview_ids: Iterable[str]) -> list[int]:
    """Return all processes on the machine with a marker of these previews (reads all of ``/proc``)."""
    wanted = frozenset(preview_ids)
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    # Markers of a preview's later processes are the preview's id, a hyphen and a number.
    return [pid for pid in pids if (read_marker(pid) or "").partition("-")[0] in wanted]


def reap(pid: int) -> bool:
    """Read the exit status of an ended child of this process; return False if it is not a child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def living(pids: Iterable[int]) -> list[ProcessIdentity]:
    """Return identities of those processes that still run."""
    looked = map(read_stat, pids)
    return [stat.identity for stat in looked if stat is not None and not stat.has_ended]


async def wait_ended(identity: ProcessIdentity) -> None:
    """Wait until the process has ended; it may still have to be reaped. Cancellation: the process is not affected.

    Raises:
        OSError: No file descriptor is free.
    """
    with suppress(ProcessLookupError), waited_on(os.pidfd_open(identity.pid)) as descriptor:
        if is_alive(identity):
            await wait_readable(descriptor)
            return
    await trio.lowlevel.checkpoint()
