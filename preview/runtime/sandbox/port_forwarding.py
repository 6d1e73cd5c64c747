"""Forwards connections across the border of a sandbox, in both directions.

From the sandbox to ports of the host's loopback interface, or to the preview's own servers: the sandbox makes listening
sockets in its own network namespace, and hands them out before its program starts. This module accepts on them. Only
ports that the operator has named, or that a server of the preview has, are served; any other socket that a hostile
program sends is closed.

From the preview's port into the sandbox: a TCP socket of the host's network is passed to a sandbox only with a socket
filter (see ``socket_filter``). On newer kernels attaching one requires CAP_NET_ADMIN. Without it the service
accepts connections itself, and forwards them through a local socket to a bridge inside the sandbox.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.core.descriptors import wait_readable
from preview.core.isolation import Network
from preview.runtime.inbound import close_inbound, discard, without_linger
from preview.runtime.interface import ProcessSpec, Serve
from preview.runtime.kernel.linux import beside
from preview.runtime.launchers import BRIDGE
from preview.runtime.sandbox.view import BASE_PYTHON, interpreter_paths

VARIABLES = "PREVIEW_VARIABLES"
"""Names to the bridge the descriptor of a file with the program's variables."""


def bridge_prefix(
    spec: ProcessSpec,
    *,
    listener: int | None,
    way_out: int | None,
    carried: bool = False,
    python: Sequence[str] = (str(BASE_PYTHON),),
    program: Path = BRIDGE,
) -> list[str]:
    """Return the bridge's command prefix; empty if the program takes the socket itself and needs no port.

    Args:
        spec: The process to start.
        listener: Descriptor number of the listening socket in the child.
        way_out: Descriptor number of the socket through which the bridge hands out listening sockets.
        carried: Whether ``listener`` is a local socket, on which the program cannot serve.
        python: Command of the service's interpreter, as the sandbox shows it.
        program: The bridge's path, as the sandbox shows it.
    """
    options: list[str] = []
    if listener is not None and spec.network is not Network.HOST:
        if spec.port is not None:
            options += ["--serve", str(listener), str(spec.port)]
        elif carried:
            options += ["--stand-in", str(listener), str(spec.slot)]
    if way_out is not None:
        options += _reach(way_out, reached_ports(spec))
    return _bridge(options, python, program) if options else []


def handout_prefix(way_out: int, ports: Iterable[int]) -> list[str]:
    """Return the command prefix that only hands out sockets listening on these ports.

    Args:
        way_out: Descriptor number of the socket through which they are handed out.
        ports: Ports to listen on.
    """
    return _bridge(_reach(way_out, ports))


def _reach(way_out: int, ports: Iterable[int]) -> list[str]:
    return ["--reach", str(way_out), ",".join(map(str, ports))]


def _bridge(options: Iterable[str], python: Sequence[str] = (str(BASE_PYTHON),), program: Path = BRIDGE) -> list[str]:
    return [*python, "-I", "-S", str(program), *options, "--"]


def bridge_needs() -> tuple[Path, ...]:
    """Return paths that the sandbox must show for the bridge: its folder and the service's interpreter."""
    return (BRIDGE.parent, *interpreter_paths(BASE_PYTHON))


log = structlog.get_logger(__name__)

Connect = Callable[[], Awaitable[trio.SocketStream]]

# SO_LINGER with zero seconds: closing sends a reset (socket(7)).
_RESET = struct.pack("ii", 1, 0)
# Pause after an error that may last, such as no free descriptor.
_PAUSE_S = 1.0
# Errors of a socket that no longer listens: a process with the same socket has shut it down (shutdown(2)).
_OVER = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK, errno.EOPNOTSUPP})


async def carry_all(
    listener: socket.socket, connect: Connect, limiter: trio.CapacityLimiter, *, pace_s: float = 0.0
) -> None:
    """Accept connections, and join each with one from ``connect``; if ``connect`` fails, the client gets a reset.

    Args:
        listener: See ``accept_all``.
        connect: Opens the other side.
        limiter: See ``accept_all``.
        pace_s: See ``accept_all``.

    Returns only when the socket no longer listens. Cancellation: every connection is closed.
    """
    await accept_all(listener, partial(_carry, connect), limiter, pace_s=pace_s)


async def accept_all(
    listener: socket.socket, handle: Serve, limiter: trio.CapacityLimiter, *, pace_s: float = 0.0
) -> None:
    """Accept connections, and handle each in its own task.

    Args:
        listener: Listening socket; closed at the end.
        handle: Serves one connection, and closes it.
        limiter: Limits the number of open connections; further ones wait in the kernel's queue.
        pace_s: Seconds between two accepted connections.

    Returns only when the socket no longer listens. Cancellation: every connection is closed.
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
                # Accepted sockets inherit SO_LINGER, which a preview may have set so that ``close`` would block.
                without_linger(connection.fileno())
                release = partial(limiter.release_on_behalf_of, place)
                nursery.start_soon(_handle, trio.SocketStream(connection), handle, release)
                await trio.sleep(pace_s)


async def _handle(near: trio.SocketStream, handle: Serve, release: Callable[[], None]) -> None:
    try:
        async with near:
            await handle(near)
    finally:
        release()


async def _carry(connect: Connect, near: trio.SocketStream) -> None:
    try:
        far = await connect()
    except OSError:
        # The other side is not reachable: reset the client's connection.
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        await trio.aclose_forcefully(near)
        return
    async with far:
        await join(near, far)


async def join(near: trio.SocketStream, far: trio.SocketStream) -> None:
    """Forward bytes in both directions until both sides have ended; the caller closes the streams.

    Cancellation: forwarding stops.
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
        # One side has disconnected, so the connection to the other side is useless.
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)


_BACKLOG = 512
# Limit for one preview.
_MOST_CARRIED_CONNECTIONS = 256


@asynccontextmanager
async def open_carrier(listener: socket.socket) -> AsyncIterator[socket.socket]:
    """Yield the local socket that replaces the listening one in the sandbox; connections to the latter are forwarded.

    The caller passes the local socket to the child; it is closed here. The listener stays open.

    Raises:
        OSError: No file descriptor is free.

    Cancellation: every connection is closed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local, listener.dup() as accepting:
        # The kernel chooses a unique abstract name, without a file (unix(7), autobind).
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


# Two addresses per port.
_MOST_SOCKETS = 128
# include/net/scm.h, SCM_MAX_FD: the most descriptors in one message. With less space the kernel would close the rest
# inside ``recvmsg``, which a sender can make slow (see ``inbound``).
_MOST_DESCRIPTORS = 253
# More connections than a database pool opens.
_MOST_CONNECTIONS = 100
# Pause between two connections: 500 a second are more than a program without a pool makes, and no load here.
_PACE_S = 0.002
ServePort = Callable[[socket.socket, int], Awaitable[None]]
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def reached_ports(spec: ProcessSpec) -> dict[int, Serve]:
    """Return the ports of a process's own loopback that lead out of its sandbox, each with what serves it."""
    if spec.network is Network.HOST:
        return {}
    named = spec.loopback_ports if spec.network is Network.LOOPBACK_ONLY else ()
    ports: dict[int, Serve] = {
        port: partial(_carry, partial(trio.open_tcp_stream, "127.0.0.1", port)) for port in named
    }
    ports.update(spec.reaches)
    return {port: serve for port, serve in ports.items() if port not in (spec.port, spec.slot)}


@asynccontextmanager
async def open_reached(spec: ProcessSpec) -> AsyncIterator[socket.socket | None]:
    """Yield the socket through which the process hands out listening sockets; None if nothing leads out of its sandbox.

    The caller passes the socket to the child; it is closed here.

    Cancellation: every connection is closed.
    """
    ports = reached_ports(spec)
    if not ports:
        yield None
        return
    limiter = trio.CapacityLimiter(_MOST_CONNECTIONS)

    async def serve(listener: socket.socket, port: int) -> None:
        await accept_all(listener, ports[port], limiter, pace_s=_PACE_S)

    async with open_handout(list(ports), serve) as theirs:
        yield theirs


@asynccontextmanager
async def open_handout(ports: Sequence[int], serve: ServePort) -> AsyncIterator[socket.socket]:
    """Yield the socket through which a sandbox hands out sockets that listen in its network namespace.

    The caller passes the socket to the child; it is closed here.

    Args:
        ports: Allowed ports of the listening sockets; any other descriptor is closed.
        serve: Accepts on one listening socket, whose port it gets, and closes it.

    Cancellation: every connection is closed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    with theirs:
        try:
            async with beside(partial(_serve, ours, frozenset(ports), serve), outlasts=True):
                yield theirs
        finally:
            close_inbound(ours)


async def _serve(ours: socket.socket, ports: frozenset[int], serve: ServePort) -> None:
    # A real wait is needed: BlockingIOError is an OSError, and would be taken for the sandbox's end below.
    await wait_readable(ours.fileno())
    try:
        received = socket.recv_fds(ours, 1, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)[1]
    except OSError:  # The sandbox ended before it sent any.
        return
    descriptors, beyond = received[:_MOST_SOCKETS], received[_MOST_SOCKETS:]
    discard(beyond)
    async with trio.open_nursery() as nursery:
        # Take all sockets before the first await, so that a cancellation finds none without an owner.
        for listener, port in [found for one in descriptors if (found := _listener(one, ports)) is not None]:
            nursery.start_soon(serve, listener, port)


def _listener(descriptor: int, ports: frozenset[int]) -> tuple[socket.socket, int] | None:
    """Return the socket and its port if it listens on an allowed port; otherwise close it."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError:  # Not a socket.
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
