"""The broker: mounts folders and makes network namespaces for a service that is not root.

``preview_broker.py SOCKET_FD [USER_NAMESPACE_FD]``

In its own user namespace, an ordinary user's process has the capabilities that the service lacks (user_namespaces(7)).
It gains no rights over the machine: it may only do what concerns its own namespaces. It never runs other code, and only
the service can talk to it, over a unix packet socket. Each request is one JSON object, and each answer too:

* ``{"do": "start"}``: answers with a descriptor of the user namespace, which a later broker can join.
* ``{"do": "mount", "path": …}``: a detached mount of the folder, without devices and set-user-id programs.
* ``{"do": "listen", "host": …, "port": …}``: a socket that listens in a new network namespace.
* ``{"do": "connect", "count": …}``, with such a socket: unconnected sockets of the same network namespace.
* ``{"do": "probe"}``: whether a process in another user namespace can attach a mount of this one.

An answer is ``{}`` with descriptors, or ``{"errno": N, "what": "…"}``. When the service closes the socket, the broker
ends.

Runs on the service's interpreter: standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

# linux/sched.h
_NEWNS, _NEWUSER, _NEWNET = 0x20000, 0x10000000, 0x40000000
# asm-generic/unistd.h: the same on every architecture.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
# linux/mount.h, linux/fcntl.h
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE, _MOVE_FROM_EMPTY_PATH = -100, 0x1000, 1, 4
_NOSUID, _NODEV = 0x2, 0x4
_ATTRIBUTES = struct.Struct("=QQQQ")
# linux/sockios.h, linux/if.h
_SIOCGSKNS, _SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x894C, 0x8913, 0x8914, 1
_INTERFACE = struct.Struct("16sh14x")
_PACKET_BYTES = 64 * 1024
_BACKLOG = 512

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def main(arguments: list[str]) -> None:
    """Enter the namespaces, and answer requests until the service closes the socket."""
    service = socket.socket(fileno=int(arguments[0]))
    try:
        _enter(int(arguments[1]) if arguments[1:] else None)
    except OSError as error:
        service.send(_failure(error))
        return
    broker = Broker()
    while True:
        request, descriptors, _, _ = socket.recv_fds(service, _PACKET_BYTES, 1)
        if not request:
            return
        try:
            answers = broker.answer(json.loads(request), descriptors)
        except OSError as error:
            service.send(_failure(error))
        else:
            socket.send_fds(service, [b"{}"], answers)
            _close(answers)
        finally:
            _close(descriptors)


def _failure(error: OSError) -> bytes:
    return json.dumps({"errno": error.errno, "what": error.filename or ""}).encode()


def _close(descriptors: list[int]) -> None:
    for one in descriptors:
        os.close(one)


def _enter(user_namespace: int | None) -> None:
    """Make the namespaces; or join an earlier broker's user namespace, whose networks are still in use."""
    if user_namespace is not None:
        _setns(user_namespace, _NEWUSER)
        os.close(user_namespace)
        _unshare(_NEWNS | _NEWNET)
        return
    uid, gid = os.geteuid(), os.getegid()
    _unshare(_NEWUSER | _NEWNS | _NEWNET)
    map_one_user(uid, gid)


def map_one_user(uid: int, gid: int) -> None:
    """Map one user and group to themselves; the only map that a process may write without privileges."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(text)


class Broker:
    """Answers requests in namespaces that it has entered."""

    def __init__(self) -> None:
        # The broker returns here after each visit: otherwise the last network would exist for as long as it stays.
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._actions: dict[str, Callable[..., list[int]]] = {
            "start": self._start,
            "mount": self._mount,
            "listen": self._listen,
            "connect": self._connect,
            "probe": self._probe,
        }

    def answer(self, request: dict[str, Any], descriptors: list[int]) -> list[int]:
        """Carry out a request; return descriptors, which the caller closes.

        Raises:
            OSError: The kernel refuses.
        """
        action = self._actions[request.pop("do")]
        return action(*descriptors, **request)

    def _start(self) -> list[int]:
        return [os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)]

    def _mount(self, path: str) -> list[int]:
        return [detached_mount(path)]

    def _listen(self, host: str, port: int) -> list[int]:
        _unshare(_NEWNET)
        try:
            bring_up_loopback()
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as one:
                # As the service's own socket (preview/runtime/listener.py).
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                one.bind((host, port))
                one.listen(_BACKLOG)
                return [one.detach()]
        finally:
            _setns(self._home, _NEWNET)

    def _connect(self, listener: int, count: int) -> list[int]:
        with socket.socket(fileno=os.dup(listener)) as one:
            family = one.family
            network = fcntl.ioctl(one, _SIOCGSKNS)
        try:
            _setns(network, _NEWNET)
            return [socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC).detach() for _ in range(count)]
        finally:
            os.close(network)
            _setns(self._home, _NEWNET)

    def _probe(self, path: str) -> list[int]:
        """Attach a mount in a further pair of namespaces, as a fork of a template does."""
        mount = detached_mount(path)
        try:
            if (child := os.fork()) == 0:
                os._exit(_attached_elsewhere(mount, path))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            os.close(mount)
        if status:
            raise OSError(status, os.strerror(status), "move_mount")
        return []


def _attached_elsewhere(mount: int, path: str) -> int:
    """Return 0, or the number of the error, in a process of its own."""
    try:
        uid, gid = os.geteuid(), os.getegid()
        _unshare(_NEWUSER | _NEWNS)
        map_one_user(uid, gid)
        flags = ctypes.c_uint(_MOVE_FROM_EMPTY_PATH)
        target = ctypes.c_int(_AT_FDCWD), os.fsencode(path)
        _call(_SYS_MOVE_MOUNT, ctypes.c_int(mount), b"", *target, flags)
    except OSError as error:
        return error.errno or 1
    return 0


def detached_mount(path: str) -> int:
    """Return a detached mount of the folder (open_tree(2), Linux 5.2), without devices and set-user-id programs.

    Raises:
        OSError: The folder does not exist, or this process may not mount.
    """
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    try:
        descriptor = _call(_SYS_OPEN_TREE, ctypes.c_int(_AT_FDCWD), os.fsencode(path), ctypes.c_uint(flags))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    try:
        attributes = _ATTRIBUTES.pack(_NOSUID | _NODEV, 0, 0, 0)
        size = ctypes.c_size_t(len(attributes))
        _call(_SYS_MOUNT_SETATTR, ctypes.c_int(descriptor), b"", ctypes.c_uint(_AT_EMPTY_PATH), attributes, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def bring_up_loopback() -> None:
    """Switch on the loopback interface of the current network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        flags = _INTERFACE.unpack(fcntl.ioctl(one, _SIOCGIFFLAGS, _INTERFACE.pack(b"lo", 0)))[1]
        fcntl.ioctl(one, _SIOCSIFFLAGS, _INTERFACE.pack(b"lo", flags | _IFF_UP))


def _unshare(flags: int) -> None:
    if _libc.unshare(ctypes.c_int(flags)) < 0:
        _raise("unshare")


def _setns(descriptor: int, kind: int) -> None:
    if _libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)) < 0:
        _raise("setns")


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        _raise("")
    return result


def _raise(what: str) -> None:
    error = ctypes.get_errno()
    raise OSError(error, os.strerror(error), what)


if __name__ == "__main__":
    main(sys.argv[1:])
