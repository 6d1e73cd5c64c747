"""Sandbox of a fork: its own user, namespaces, files and limits, and no way to regain privileges.

The functions do for a forked process what bubblewrap does for an executed one. The end of the process undoes each step.
The order matters: a step that needs a privilege comes before the privilege is dropped.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
from typing import Any

import preview_calls as calls  # type: ignore[import-not-found]

_INSIDE_ID = 1000
# linux/sockios.h, linux/if.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_PRIVATE = calls.MS_NOSUID | calls.MS_NODEV


def enter(user: int | None) -> None:
    """Become ``user``, if given, and unshare all namespaces; the next fork is their first process."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        calls.set_dumpable()
    uid, gid = os.geteuid(), os.getegid()
    calls.unshare(
        calls.CLONE_NEWUSER
        | calls.CLONE_NEWNS
        | calls.CLONE_NEWPID
        | calls.CLONE_NEWIPC
        | calls.CLONE_NEWUTS
        | calls.CLONE_NEWNET
    )
    # user_namespaces(7): an unprivileged process must deny setgroups before it writes gid_map.
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{_INSIDE_ID} {uid} 1"),
        ("gid_map", f"{_INSIDE_ID} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123  no pathlib in the template
            file.write(text)


def show_files(view: dict[str, Any], folders: list[int]) -> None:
    """Mount the fork's own folders, and cover the template's writable folders with empty ones.

    Args:
        view: ``anchors`` (folders that contain those of all previews), ``folders`` (mount points of the fork's own
            folders), ``around`` (their parent folder, writable as well; or None), ``kept`` (needed paths below a
            covered folder), ``temp_bytes``.
        folders: Descriptors of detached mounts, in the order of ``view["folders"]``.
    """
    calls.mount("", "/", "", calls.MS_REC | calls.MS_PRIVATE)
    kept = [(path, calls.clone_mount(path)) for path in view["kept"]]
    size = f"size={view['temp_bytes']}"
    temporary = ("/tmp", "/dev/shm")  # noqa: S108  its own
    for path in temporary:
        calls.mount("tmpfs", path, "tmpfs", _PRIVATE, f"{size},mode=1777")
    calls.mount("devpts", "/dev/pts", "devpts", calls.MS_NOSUID | calls.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    calls.mount("proc", "/proc", "proc", _PRIVATE | calls.MS_NOEXEC)
    covers = [path for path in view["anchors"] if not _below(path, temporary)]
    for path in covers:
        calls.mount("tmpfs", path, "tmpfs", _PRIVATE, "size=64k,mode=755")
    if view["around"] is not None:
        os.makedirs(view["around"], exist_ok=True)  # noqa: PTH103
        calls.mount("tmpfs", view["around"], "tmpfs", _PRIVATE, f"{size},mode=1777")
    for path, descriptor in (*kept, *zip(view["folders"], folders, strict=True)):
        os.makedirs(path, exist_ok=True)  # noqa: PTH103
        calls.attach(descriptor, path)
        os.close(descriptor)
    for path in covers:
        calls.mount("", path, "", calls.MS_REMOUNT | calls.MS_BIND | calls.MS_RDONLY | _PRIVATE)
    _bring_up_loopback()


def _below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path.startswith(f"{root}/") for root in roots)


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(one, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(one, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def confine(limits: dict[str, int], program: bytes) -> None:
    """Set limits, drop capabilities, forbid new privileges and filter system calls; child processes inherit all."""
    calls.unshare(calls.CLONE_NEWCGROUP)
    calls.drop_capabilities()
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (limit, limit))
    calls.no_new_privileges()
    calls.filter_calls(program)
