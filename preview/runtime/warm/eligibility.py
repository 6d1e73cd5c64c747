"""Verifies a fork's confinement from outside, because code of packages has run in its template.

The kernel's data about a process is reliable, whatever the process claims. No process can leave its namespaces, or
regain a privilege that it has dropped. The kernel does not report which calls a filter refuses, but the template's
filter applies to its forks in any case.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from preview.core.descriptors import raise_want
from preview.runtime.sandbox.runtime import SandboxParts


async def why_never(parts: SandboxParts) -> str | None:
    """Return why this service cannot start anything warm, as half a sentence; None if it can.

    Args:
        parts: The sandbox's means of isolation.

    Cancellation: nothing is left.
    """
    if parts.is_root:
        return "there are no separate users for forks here; start the container as an ordinary user (--user)"
    try:
        os.close(await parts.mount(parts.etc))
    except OSError as error:
        return parts.without_broker or f"folders cannot be handed to forks ({error.strerror})"
    if not parts.can_share_port:
        return parts.without_broker or "the kernel does not let this service restrict sockets"
    return None


_NAMESPACES = ("user", "mnt", "pid", "ipc", "uts", "net")
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# proc(5): SECCOMP_MODE_FILTER. At least two filters: the template's and the fork's own.
_FILTERED = "2"
_LEAST_FILTERS = 2
# proc(5): flags are the ninth field of stat; the index counts from the state, the third. linux/sched.h, PF_EXITING.
_FLAGS, _EXITING = 6, 0x4


def namespaces_of(pid: int) -> frozenset[int]:
    """Return inode numbers of a process's namespaces, except those that it may share (cgroup, time)."""
    found = set()
    for name in _NAMESPACES:
        with suppress(OSError):
            found.add(os.stat(f"/proc/{pid}/ns/{name}").st_ino)  # noqa: PTH116
    return frozenset(found)


def find_fault(first: int, application: int, *, user: tuple[int, int], outside: frozenset[int]) -> str | None:
    """Return a fault in the confinement, as half a sentence; None if there is none.

    Args:
        first: Pid of the first process of the namespace.
        application: Pid of the application, the second process.
        user: Required user and group of both.
        outside: Namespaces that neither may be in.

    Raises:
        OSError: No file descriptor is free for the check.
    """
    try:
        fault = next(_faults(first, application, user, outside), None)
        has_ended = fault is not None and any(map(_is_over, (first, application)))
    except (FileNotFoundError, ProcessLookupError):
        # The process has ended, and needs no confinement.
        return None
    except OSError as error:
        raise_want(error)
        return f"it cannot be examined ({error.strerror})"
    # An ended process is in no namespace, so a fault found then means nothing.
    return None if has_ended else fault


def _is_over(pid: int) -> bool:
    """Return whether the process has ended or is ending: it loses its namespaces and filter before the end."""
    status = read_status(pid)
    # If only the first thread has ended, the process looks dead, but its other threads run on.
    if int(status.get("Threads", "0")) > 1:
        return False
    if status["State"][0] in "ZX":
        return True
    flags = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[_FLAGS]
    return bool(int(flags) & _EXITING)


def _faults(first: int, application: int, user: tuple[int, int], outside: frozenset[int]) -> Iterator[str]:
    for pid, number in ((first, "1"), (application, "2")):
        status = read_status(pid)
        if user_fields(status) != user:
            yield "it runs as the wrong user"
        if status["NSpid"].split()[-1] != number:
            yield "it is not alone in its namespace of processes"
        if any(int(status[name], 16) for name in _CAPABILITIES):
            yield "it has capabilities"
        if status["NoNewPrivs"] != "1" or status["Seccomp"] != _FILTERED:
            yield "its system calls are not filtered"
        # Since Linux 5.9.
        if int(status.get("Seccomp_filters", _LEAST_FILTERS)) < _LEAST_FILTERS:
            yield "it has only the system call filter of a template"
        inside = namespaces_of(pid)
        if inside & outside or len(inside) != len(_NAMESPACES):
            yield "it is in a namespace of its template"
    if namespaces_of(first) != namespaces_of(application):
        yield "its processes are in different namespaces"


def user_fields(status: Mapping[str, str]) -> tuple[int, int] | None:
    """Return user and group of a process; None if its real, effective, saved and file ids differ."""
    users, groups = ({*status[name].split()} for name in ("Uid", "Gid"))
    return (int(users.pop()), int(groups.pop())) if len(users) == len(groups) == 1 else None


def read_status(pid: int) -> dict[str, str]:
    """Return the fields of ``/proc/PID/status``.

    Raises:
        OSError: The process does not exist, or no file descriptor is free.
    """
    lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
