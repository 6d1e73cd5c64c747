"""Ports of the machine's loopback interface, brought into a sandbox that has no network but its own.

The sandbox makes the listening sockets, in its network, and hands them out before its program starts; here they are
accepted on, and each connection is carried to the same port of this machine. Only ports that the operator has named:
what else a hostile program hands out is closed.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
import trio

from preview.core.descriptors import wait_readable
from preview.runtime.inbound import close_inbound, discard
from preview.runtime.kernel.beside import beside
from preview.runtime.sandbox.relay import carry_all

log = structlog.get_logger(__name__)

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
    """The socket through which the sandbox hands out its listening ones; None where no port is to be reached.

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
    """The socket through which a sandbox hands out sockets that listen in its own network.

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
    """The socket and its port, if it listens on one that may be reached; anything else is closed."""
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
        log.warning("a preview handed out a socket that cannot be asked", error=str(error))
    discard([listener.detach()])
    return None
