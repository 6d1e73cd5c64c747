"""Ports of the machine's loopback interface, brought into a sandbox that has no network but its own.

The sandbox makes the listening sockets, in its network, and hands them out before its program starts; here they are
accepted on, and each connection is carried to the same port of this machine. Only ports that the operator has named:
what else a hostile program hands out is closed.

Serves a preview's port from outside of its sandbox, where the socket itself may not go in.

A TCP socket of the machine's network is given to a sandbox only behind a fence (see ``fence``), which newer kernels let
none put up but the administrator of the network. Elsewhere the service accepts by itself, and carries each connection
through a local socket, which leads nowhere else, to a bridge in the sandbox.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.core.descriptors import wait_readable
from preview.core.isolation import Network
from preview.runtime.inbound import close_inbound, discard, without_linger
from preview.runtime.interface import ProcessSpec
from preview.runtime.kernel.linux import beside
from preview.runtime.launchers import BRIDGE
from preview.runtime.sandbox.view import interpreter_paths


def bridge_prefix(spec: ProcessSpec, *, listener: int | None, way_out: int | None, carried: bool = False) -> list[str]:
    """Return the bridge's prefix; empty if the program takes the socket and needs no port.

    Args:
        spec: What is started.
        listener: The listening socket's number in the child.
        way_out: The number of the socket that hands listening ones out.
        carried: Whether the socket under that number is a local one, which the program cannot serve on.
    """
    options: list[str] = []
    if listener is not None and spec.network is not Network.HOST:
        if spec.port is not None:
            options += ["--serve", str(listener), str(spec.port)]
        elif carried:
            options += ["--stand-in", str(listener), str(spec.slot)]
    if way_out is not None:
        options += _reach(way_out, (port for port in spec.loopback_ports if port not in (spec.port, spec.slot)))
    return _bridge(options) if options else []


def handout_prefix(way_out: int, ports: Iterable[int]) -> list[str]:
    """Return the prefix that hands out sockets that listen on these ports, and nothing else.

    Args:
        way_out: The number of the socket that hands them out.
        ports: Which.
    """
    return _bridge(_reach(way_out, ports))


def _reach(way_out: int, ports: Iterable[int]) -> list[str]:
    return ["--reach", str(way_out), ",".join(map(str, ports))]


def _bridge(options: Iterable[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(BRIDGE), *options, "--"]


def bridge_needs() -> tuple[Path, ...]:
    """Return paths that the sandbox must show for it: the service's interpreter."""
    return (BRIDGE.parent, *interpreter_paths(Path(sys.executable)))


log = structlog.get_logger(__name__)

Connect = Callable[[], Awaitable[trio.SocketStream]]
Handler = Callable[[trio.SocketStream], Awaitable[None]]

# SO_LINGER with no time: closing is a reset (socket(7)).
_RESET = struct.pack("ii", 1, 0)
# After an error that may last (no descriptor left).
_PAUSE_S = 1.0
# The process that holds it has made it a socket that does not listen any more (shutdown(2)).
_OVER = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP})


async def carry_all(
    listener: socket.socket, connect: Connect, limiter: trio.CapacityLimiter, *, pace_s: float = 0.0
) -> None:
    """Accept for ever, and join each connection with one that ``connect`` opens; where it cannot, it is reset.

    Args:
        listener: As in ``accept_all``.
        connect: Opens the other side.
        limiter: As in ``accept_all``.
        pace_s: Likewise.

    Returns only when the socket listens no more. Cancellation: every connection is closed.
    """
    await accept_all(listener, partial(_carry, connect), limiter, pace_s=pace_s)


async def accept_all(
    listener: socket.socket, handle: Handler, limiter: trio.CapacityLimiter, *, pace_s: float = 0.0
) -> None:
    """Accept for ever, and have each connection handled by a task of its own.

    Args:
        listener: Listens; closed at the end.
        handle: Serves one connection, and closes it.
        limiter: Bounds how many are open; one more waits in the kernel's queue.
        pace_s: Seconds between two that are accepted.

    Returns only when the socket listens no more. Cancellation: every connection is closed.
    """
    listener.setblocking(False)
    with trio.socket.from_stdlib_socket(listener) as accepting:
        async with trio.open_nursery() as nursery:
            while True:
                place = object()
                await limiter.acquire_on_behalf_of(place)
                try:
                    connection, _ = await accepting.accept()
                except OSError as error:
                    limiter.release_on_behalf_of(place)
                    if error.errno in _OVER:
                        break
                    log.warning("preview connection not accepted", error=str(error))
                    await trio.sleep(_PAUSE_S)
                    continue
                # What it has from its listening socket, which may be a preview's: its close could wait for that.
                without_linger(connection.fileno())
                release = partial(limiter.release_on_behalf_of, place)
                nursery.start_soon(_handle, trio.SocketStream(connection), handle, release)
                await trio.sleep(pace_s)


async def _handle(near: trio.SocketStream, handle: Handler, release: Callable[[], None]) -> None:
    try:
        async with near:
            await handle(near)
    finally:
        release()


async def _carry(connect: Connect, near: trio.SocketStream) -> None:
    try:
        far = await connect()
    except OSError:
        # Nobody is there: the client sees a reset.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        await trio.aclose_forcefully(near)
        return
    async with far:
        await join(near, far)


async def join(near: trio.SocketStream, far: trio.SocketStream) -> None:
    """Carry bytes both ways until both sides have ended; the caller closes the streams.

    Cancellation: nothing is sent any more.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_pump, near, far)
        nursery.start_soon(_pump, far, near)


async def _pump(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for chunk in source:
            await sink.send_all(chunk)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        # One side is gone: neither has anything to say to the other any more.
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)


_BACKLOG = 512
# Of one preview.
_MOST_CARRIED_CONNECTIONS = 256


@asynccontextmanager
async def open_carrier(listener: socket.socket) -> AsyncIterator[socket.socket]:
    """Provide the local socket that replaces the listening one in the sandbox; connections are carried.

    The caller passes it to the child; it is closed here. The listener stays open.

    Raises:
        OSError: No descriptor is left.

    Cancellation: every connection is closed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local, listener.dup() as accepting:
        # The kernel gives it a name that nobody has, and that needs no file (unix(7), autobind).
        local.bind("")
        local.listen(_BACKLOG)
        connect = partial(_connect, local.getsockname())
        async with beside(partial(carry_all, accepting, connect, trio.CapacityLimiter(_MOST_CARRIED_CONNECTIONS))):
            yield local


async def _connect(name: bytes) -> trio.SocketStream:
    inside = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await inside.connect(name)
    except BaseException:
        inside.close()
        raise
    return trio.SocketStream(inside)


# Two addresses for each port.
_MOST_SOCKETS = 128
# include/net/scm.h, SCM_MAX_FD: the most that one message brings. With less room the kernel would close what is beyond,
# here and now, which may take as long as the sender likes (see ``inbound``).
_MOST_DESCRIPTORS = 253
# More than a pool of database connections holds.
_MOST_CONNECTIONS = 100
# Between two connections: 500 a second, more than a program without a pool makes, and no load for the service.
_PACE_S = 0.002
Serve = Callable[[socket.socket, int], Awaitable[None]]
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


@asynccontextmanager
async def open_loopback(ports: Sequence[int]) -> AsyncIterator[socket.socket | None]:
    """Provide the socket through which the sandbox hands out listening ones; None without ports.

    The caller passes it to the child; it is closed here.

    Cancellation: every connection is closed.
    """
    if not ports:
        yield None
        return
    limiter = trio.CapacityLimiter(_MOST_CONNECTIONS)

    async def carry(listener: socket.socket, port: int) -> None:
        await carry_all(listener, partial(trio.open_tcp_stream, "127.0.0.1", port), limiter, pace_s=_PACE_S)

    async with open_handout(ports, carry) as theirs:
        yield theirs


@asynccontextmanager
async def open_handout(ports: Sequence[int], serve: Serve) -> AsyncIterator[socket.socket]:
    """Provide the socket through which a sandbox hands out sockets that listen in its own network.

    The caller passes it to the child; it is closed here.

    Args:
        ports: Which listening sockets are taken; anything else is closed.
        serve: Accepts on one of them, which listens on the port; closes it.

    Cancellation: every connection is closed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    with theirs:
        try:
            async with beside(partial(_serve, ours, frozenset(ports), serve)):
                yield theirs
        finally:
            close_inbound(ours)


async def _serve(ours: socket.socket, ports: frozenset[int], serve: Serve) -> None:
    # A wake-up for nothing would be taken for the sandbox's end: BlockingIOError is an OSError.
    await wait_readable(ours.fileno())
    try:
        received = socket.recv_fds(ours, 1, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)[1]
    except OSError:  # it ended before it had any
        return
    descriptors, beyond = received[:_MOST_SOCKETS], received[_MOST_SOCKETS:]
    discard(beyond)
    async with trio.open_nursery() as nursery:
        # First all, then whatever is awaited: a cancellation must not find some of them still without an owner.
        for listener, port in [found for one in descriptors if (found := _listener(one, ports)) is not None]:
            nursery.start_soon(serve, listener, port)


def _listener(descriptor: int, ports: frozenset[int]) -> tuple[socket.socket, int] | None:
    """Return the socket and its port, if it listens on an allowed one; others are closed."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError:  # no socket at all
        discard([descriptor])
        return None
    try:
        if listener.family in _FAMILIES and listener.type == socket.SOCK_STREAM:
            port = int(listener.getsockname()[1])
            if port in ports and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return listener, port
    except OSError as error:
        log.warning("preview socket unusable", error=str(error))
    discard([listener.detach()])
    return None
