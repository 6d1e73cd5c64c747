"""Who belongs to a preview's process tree, read from ``/proc`` (proc(5)), and ending all of it.

What is left of an earlier run is found by the marker ``PREVIEW_INSTANCE_ID`` in the environment a process was started
with; for a live tree see ``membership``. A signal goes through a pidfd whose start time was checked, so that a pid used
again by the kernel is never hit.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from preview.runtime.interface import ProcessIdentity
from preview.runtime.linux import boot_id

__all__ = [
    "MARKER",
    "children",
    "descendants",
    "end_all",
    "identify",
    "is_alive",
    "is_zombie",
    "kill",
    "living",
    "marked",
    "read_marker",
    "reap",
    "session",
    "works_below",
    "writes_to",
]

MARKER = "PREVIEW_INSTANCE_ID"

# A killed process is gone within a millisecond or two; the poll backs off to this for those stuck in the kernel.
_FIRST_POLL_S = 0.001
_LAST_POLL_S = 0.02

_READ_BYTES = 64 * 1024

# What reading about a process raises once it has gone (or belongs to somebody else).
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def _read(path: str) -> bytes:
    """A whole file of ``/proc``. Hundreds are read when many previews end at once: ``pathlib`` takes most of it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, _READ_BYTES):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts)


def _stat_fields(pid: int) -> list[str] | None:
    """Fields 3 and up of ``/proc/PID/stat`` (state first), or None when it has gone. The name may hold spaces."""
    try:
        text = _read(f"/proc/{pid}/stat").decode("utf-8", "replace")
    except _GONE:
        return None
    return text[text.rindex(")") + 2 :].split()


def identify(pid: int) -> ProcessIdentity | None:
    """The process's identity, or None when there is none with this pid."""
    fields = _stat_fields(pid)
    # Field 22 (starttime) is the 20th from field 3 on.
    return None if fields is None else ProcessIdentity(pid, int(fields[19]), boot_id())


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs (a zombie has ended)."""
    if identity.boot_id != boot_id():
        return False
    fields = _stat_fields(identity.pid)
    return fields is not None and fields[0] not in ("Z", "X") and int(fields[19]) == identity.start_ticks


def children(pid: int) -> list[int]:
    """Direct children of a process, of all its threads (``/proc/PID/task/TID/children``)."""
    found: list[int] = []
    with suppress(*_GONE):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  names, not paths: 3 x faster
            with suppress(*_GONE):
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
    """The preview id a process was started with, or None."""
    try:
        environment = _read(f"/proc/{pid}/environ")
    except OSError:
        return None
    prefix = MARKER.encode() + b"="
    for item in environment.split(b"\0"):
        if item.startswith(prefix):
            return item[len(prefix) :].decode("utf-8", "replace")
    return None


def works_below(pid: int, directory: Path) -> bool:
    """Whether a process's working folder is the preview's (it may have dropped its environment, but stayed there)."""
    try:
        target = str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)")
    except OSError:
        return False
    return Path(target).is_relative_to(directory)


def session(pid: int) -> int | None:
    """The process's session (its leader's pid), or None when the process has gone."""
    fields = _stat_fields(pid)
    # Field 6 (session) is the 4th from field 3 on.
    return None if fields is None else int(fields[3])


def writes_to(pid: int, pipe: str) -> bool:
    """Whether a process holds the writing end of a pipe (named as its link is: ``pipe:[INODE]``).

    The reading end does not count: what this process has forked holds that until its ``exec``.
    """
    with suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208  names, not paths
            # The link's own mode says what the descriptor may do (proc(5)).
            with suppress(OSError):
                link = f"/proc/{pid}/fd/{name}"
                if os.readlink(link) == pipe and os.lstat(link).st_mode & stat.S_IWUSR:  # noqa: PTH115
                    return True
    return False


def marked(preview_ids: Iterable[str]) -> list[int]:
    """Processes anywhere on the machine that were started for one of these previews (reads all of ``/proc``)."""
    wanted = frozenset(preview_ids)
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return [pid for pid in pids if read_marker(pid) in wanted]


@contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def kill(identity: ProcessIdentity) -> None:
    """SIGKILL to this very process; nothing if it has ended."""
    with suppress(ProcessLookupError, PermissionError), _pidfd(identity.pid) as descriptor:
        # The pidfd names one process; the check after opening it makes sure that it is the one we mean.
        if is_alive(identity):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and waits to be reaped."""
    fields = _stat_fields(pid)
    return fields is not None and fields[0] == "Z"


def reap(pid: int) -> bool:
    """Take the exit status of a child of ours that has ended; False for somebody else's child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def living(pids: Iterable[int]) -> list[ProcessIdentity]:
    """Those of the processes that still run."""
    identities = (identify(pid) for pid in pids)
    return [identity for identity in identities if identity is not None and is_alive(identity)]


def _is_settled(identity: ProcessIdentity, others: frozenset[int]) -> bool:
    """Whether a killed process is gone for good: reaped, by us where it is ours to reap.

    A zombie whose parent is being killed too becomes ours when that parent has gone.
    """
    if is_alive(identity):
        return False
    fields = _stat_fields(identity.pid)
    if fields is None or int(fields[19]) != identity.start_ticks:
        return True
    return not reap(identity.pid) and int(fields[1]) not in others


async def end_all(find: Callable[[], list[int]], known: Iterable[ProcessIdentity] = ()) -> int:
    """Kill whatever ``find`` finds, again and again, until it finds nothing alive; how many were killed.

    Args:
        find: A fresh look for pids that must go. Looking again catches processes forked between a look and the kill.
        known: Processes that were sent SIGKILL already, to be waited for and reaped (a zombie shows no marks).

    Cancellation: the ones found so far have been sent SIGKILL. Call it under a bounded shield.
    """
    killed = set(known)
    pending = set(killed)
    pause_s = _FIRST_POLL_S
    while True:
        found = living(find())
        for identity in found:
            kill(identity)
        killed.update(found)
        pending.update(found)
        pids = frozenset(identity.pid for identity in pending)
        pending = {identity for identity in pending if not _is_settled(identity, pids - {identity.pid})}
        if not pending:
            return len(killed)
        await trio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LAST_POLL_S)


async def end_tree(preview_ids: Iterable[str], leaders: Iterable[ProcessIdentity]) -> int:
    """End what an earlier run of the service left: its leaders, if they are still the same processes, and all marked.

    Returns:
        How many processes were killed.

    Cancellation: as ``end_all``.
    """
    wanted = frozenset(preview_ids)
    known = tuple(leaders)

    def look() -> list[int]:
        heads = [one.pid for one in known if is_alive(one)]
        below = [pid for head in heads for pid in descendants(head)]
        return list(dict.fromkeys([*heads, *below, *marked(wanted)]))

    return await end_all(look)
