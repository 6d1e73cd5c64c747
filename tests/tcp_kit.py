"""Which TCP connections hold small writes back (Nagle's algorithm), as the kernel itself says, in whichever process."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

__all__ = ["connections_of", "nagling", "own_connections"]

# pidfd_getfd(2): Linux 5.6; the number is the same on all machines.
_PIDFD_GETFD = 438
_LIBC = ctypes.CDLL(None, use_errno=True)
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def own_connections() -> list[socket.socket]:
    """Another descriptor of each TCP connection of this process; the caller closes them."""
    return list(_connections(os.dup(int(one.name)) for one in _open(Path("/proc/self/fd"))))


def connections_of(*pids: int) -> list[socket.socket]:
    """The same of other processes, whichever network they are in; what two of them share is there twice."""
    return [found for pid in pids for found in _connections(_copies(pid))]


def nagling(connections: Iterable[socket.socket]) -> list[str]:
    """The connections without TCP_NODELAY, by their addresses; all are closed."""
    found = []
    for one in connections:
        with closing(one):
            if not one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
                found.append(f"{one.getsockname()[:2]} to {one.getpeername()[:2]}")
    return found


def _connections(descriptors: Iterator[int]) -> Iterator[socket.socket]:
    for descriptor in descriptors:
        try:
            found = socket.socket(fileno=descriptor)
        except OSError:  # no socket
            os.close(descriptor)
            continue
        if found.family in _INTERNET and found.type == socket.SOCK_STREAM:
            with suppress(OSError):  # it listens, or is not connected (any more)
                found.getpeername()
                yield found
                continue
        found.close()


def _copies(pid: int) -> Iterator[int]:
    """Descriptors of another process, under numbers of this one."""
    process = os.pidfd_open(pid)
    try:
        for one in _open(Path(f"/proc/{pid}/fd")):
            copied = _LIBC.syscall(_PIDFD_GETFD, process, int(one.name), 0)
            if copied < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(one))
            yield copied
    finally:
        os.close(process)


def _open(folder: Path) -> list[Path]:
    """The descriptors that are sockets."""
    found = []
    for one in folder.iterdir():
        with suppress(FileNotFoundError):
            if one.readlink().name.startswith("socket:["):
                found.append(one)
    return found
