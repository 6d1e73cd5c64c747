"""Check of a fork's confinement, from outside: the packages' code ran in its template.

What the kernel says of a process is true, whatever the process says: none gets out of its namespaces, or gets back a
right that it has given up. (Which calls its filter refuses the kernel tells nobody; that of the template stays on it in
any case.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from preview.core.descriptors import raise_want
from preview.runtime.sandbox.runtime import SandboxParts
from preview.runtime.warm.mounts import detached_mount


def why_never(parts: SandboxParts) -> str | None:
    """Return why this service starts nothing warm, as half a sentence; None if it can.

    Args:
        parts: What the sandbox isolates with.
    """
    if os.geteuid() == 0 and not parts.own_users:
        return "there are no users here that forks could be given"
    try:
        os.close(detached_mount(parts.etc))
    except OSError as error:
        return f"a service that is not root may not hand folders to forks ({error.strerror})"
    if not parts.fences:
        return "its connections are carried to it, as the kernel lets this service fence no socket"
    return None


_NAMESPACES = ("user", "mnt", "pid", "ipc", "uts", "net")
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# proc(5): SECCOMP_MODE_FILTER; the template's filter, and its own.
_FILTERED = "2"
_LEAST_FILTERS = 2
# proc(5): the ninth field of stat, counted from the state, which is the third; linux/sched.h, PF_EXITING.
_FLAGS, _EXITING = 6, 0x4


def namespaces_of(pid: int) -> frozenset[int]:
    """Names of the namespaces that a process is in, but those it cannot do without sharing (control groups, time)."""
    found = set()
    for name in _NAMESPACES:
        with suppress(OSError):
            found.add(os.stat(f"/proc/{pid}/ns/{name}").st_ino)  # noqa: PTH116
    return frozenset(found)


def find_fault(first: int, application: int, *, uid: int, outside: frozenset[int]) -> str | None:
    """Find a fault in the confinement, as half a sentence; None if correct.

    Args:
        first: The first process of its namespace.
        application: The second.
        uid: The user that both should be.
        outside: Namespaces that neither may be in.

    Raises:
        OSError: No descriptor is free to look with.
    """
    try:
        fault = next(_faults(first, application, uid, outside), None)
        has_ended = fault is not None and any(map(_is_over, (first, application)))
    except OSError as error:
        # What cannot be looked at is not confined.
        raise_want(error)
        return None
    # What has ended is in no namespace any more; whatever it was, nothing of it is left.
    return None if has_ended else fault


def _is_over(pid: int) -> bool:
    """Return whether it has ended, or is ending: it leaves its namespaces and its filter first."""
    status = read_status(pid)
    # A process whose first thread has ended looks like one that has, and runs on in its others.
    if int(status.get("Threads", "0")) > 1:
        return False
    if status["State"][0] in "ZX":
        return True
    flags = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[_FLAGS]
    return bool(int(flags) & _EXITING)


def _faults(first: int, application: int, uid: int, outside: frozenset[int]) -> Iterator[str]:
    for pid, number in ((first, "1"), (application, "2")):
        status = read_status(pid)
        if set(status["Uid"].split()) != {str(uid)} or set(status["Gid"].split()) != {str(uid)}:
            yield "it is another user than it should be"
        if status["NSpid"].split()[-1] != number:
            yield "it is not alone in its namespace of processes"
        if any(int(status[name], 16) for name in _CAPABILITIES):
            yield "it has capabilities"
        if status["NoNewPrivs"] != "1" or status["Seccomp"] != _FILTERED:
            yield "its system calls are not filtered"
        # Since Linux 5.9.
        if int(status.get("Seccomp_filters", _LEAST_FILTERS)) < _LEAST_FILTERS:
            yield "its system calls are filtered as a template's"
        inside = namespaces_of(pid)
        if inside & outside or len(inside) != len(_NAMESPACES):
            yield "it is in a namespace of its template"
    if namespaces_of(first) != namespaces_of(application):
        yield "its processes are in different namespaces"


def read_status(pid: int) -> dict[str, str]:
    """Return the lines of ``/proc/PID/status``.

    Raises:
        OSError: There is no such process, or no descriptor is left.
    """
    lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
