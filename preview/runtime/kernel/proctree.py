"""Members of a preview's process tree, from ``/proc`` (proc(5)). Ends nothing, see ``ending``.

What is left of an earlier run is found by the marker ``PREVIEW_INSTANCE_ID`` in the environment a process was started
with; for a live tree see ``membership``.
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

_READ_BYTES = 64 * 1024

# States of a process that waits to be reaped, or is being reaped.
_ENDED = frozenset("ZX")
# What reading about a process raises once it has gone (or belongs to somebody else).
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def _read(path: str) -> bytes:
    """Return a whole file of ``/proc``, without ``pathlib``: hundreds are read when many previews end at once."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, _READ_BYTES):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Stat:
    """Content of ``/proc/PID/stat``.

    Attributes:
        identity: Which process it is.
        name: Its program's, the first 15 bytes.
        has_ended: It waits to be reaped (a zombie), or is being reaped.
        parent: Its parent's pid.
        session: Its session: the leader's pid.
    """

    identity: ProcessIdentity
    name: str
    has_ended: bool
    parent: int
    session: int


def read_stat(pid: int) -> Stat | None:
    """Look at a process; None when there is none with this pid."""
    try:
        text = _read(f"/proc/{pid}/stat").decode("utf-8", "replace")
    except GONE:
        return None
    # Field 3 and up: state, ppid, pgrp, session, …, starttime (22). The name before them may hold spaces.
    end = text.rindex(")")
    fields = text[end + 2 :].split()
    identity = ProcessIdentity(pid, int(fields[19]), boot_id())
    return Stat(identity, text[text.index("(") + 1 : end], fields[0] in _ENDED, int(fields[1]), int(fields[3]))


def identify(pid: int) -> ProcessIdentity | None:
    """Return the process's identity, or None if there is none with this pid."""
    stat = read_stat(pid)
    return None if stat is None else stat.identity


def is_alive(identity: ProcessIdentity) -> bool:
    """Return whether this very process still runs (a zombie has ended)."""
    stat = read_stat(identity.pid)
    return stat is not None and not stat.has_ended and stat.identity == identity


def children(pid: int) -> list[int]:
    """Direct children of a process, of all its threads (``/proc/PID/task/TID/children``)."""
    found: list[int] = []
    with suppress(*GONE):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  names, not paths: 3 x faster
            with suppress(*GONE):
                found.extend(map(int, _read(f"/proc/{pid}/task/{thread}/children").split()))
    return found


def descendants(pid: int) -> list[int]:
    """All processes below this one, nearest first."""
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
    """Return the preview id a process was started with, or None.

    Raises:
        OSError: No descriptor is free to look with.
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
    """Return a process's working folder, also once that is removed; None if the process has gone."""
    try:
        return Path(str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)"))
    except OSError:
        return None


def namespace_pids(pid: int) -> list[int]:
    """Return a process's pid in each of its process namespaces, outermost first; empty if gone.

    One number alone: it is in no other namespace than the mounter of ``/proc`` (``NSpid`` in proc(5)).
    """
    try:
        status = _read(f"/proc/{pid}/status")
    except GONE:
        return []
    return [int(number) for line in status.splitlines() if line.startswith(b"NSpid:") for number in line.split()[1:]]


def namespace_groups(pid: int) -> list[int]:
    """Return a process's group in each of its namespaces, outermost first (``NSpgid`` in proc(5)).

    0 where it has no name there.

    Raises:
        OSError: One of ``GONE``.
    """
    status = _read(f"/proc/{pid}/status")
    return [int(number) for line in status.splitlines() if line.startswith(b"NSpgid:") for number in line.split()[1:]]


def pipes_written(pid: int) -> frozenset[str]:
    """Return the pipes that a process holds the writing end of, named as their links are: ``pipe:[INODE]``.

    The reading end does not count: what this process has forked holds that until its ``exec``.

    Raises:
        OSError: No descriptor is free to look with.
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
            # The link's own mode says what the descriptor may do (proc(5)).
            if target.startswith("pipe:") and os.lstat(link).st_mode & S_IWUSR:
                found.add(target)
    return frozenset(found)


def marked(preview_ids: Iterable[str]) -> list[int]:
    """Find processes on the machine that were started for these previews (reads all of ``/proc``)."""
    wanted = frozenset(preview_ids)
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    # A preview's second process and those after it are marked by the id, a hyphen and a number.
    return [pid for pid in pids if (read_marker(pid) or "").partition("-")[0] in wanted]


def reap(pid: int) -> bool:
    """Take the exit status of a child of ours that has ended; False for somebody else's child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def living(pids: Iterable[int]) -> list[ProcessIdentity]:
    """Those of the processes that still run."""
    looked = map(read_stat, pids)
    return [stat.identity for stat in looked if stat is not None and not stat.has_ended]


async def wait_ended(identity: ProcessIdentity) -> None:
    """Until the process has ended; it may still have to be reaped. Cancellation: nothing changes.

    Raises:
        OSError: No descriptor is left.
    """
    with suppress(ProcessLookupError), waited_on(os.pidfd_open(identity.pid)) as descriptor:
        if is_alive(identity):
            await wait_readable(descriptor)
            return
    await trio.lowlevel.checkpoint()
