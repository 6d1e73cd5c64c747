"""The listening socket that a sandbox inherits, where the service may not restrict a socket of the host's network.

Attaching a packet filter takes a privilege that an ordinary user lacks (see ``socket_filter``). So the broker makes a
second listening socket, on the same port, in a network namespace that contains nothing else. Previews inherit this
socket. Whatever a preview makes of it reaches only its own port. The service accepts the connections of the host's
socket, and forwards each to the inner one.

The inner socket stays the same for all processes of a preview, as the host's does, so a connection waits in its queue
while one process replaces another.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.core.descriptors import connect_socket, retry_on_fd_exhaustion
from preview.runtime.broker import Broker
from preview.runtime.interface import InnerSocket
from preview.runtime.kernel.linux import beside
from preview.runtime.sandbox.port_forwarding import carry_all
from preview.runtime.sandbox.socket_filter import is_restricted

# Connections that are forwarded at once, of one preview.
_MOST_CONNECTIONS = 256
# Each request to the broker takes a tenth of a millisecond, so several sockets are made at once.
_SOCKETS_AT_ONCE = 4


class InnerListener(InnerSocket):
    """See ``InnerSocket``. Alone in its network namespace. Made by ``open_inner_listener`` alone."""

    def __init__(self, broker: Broker, descriptor: int, outer: socket.socket) -> None:
        """Own the descriptor.

        Args:
            broker: Makes sockets in the same network namespace.
            descriptor: The inner socket.
            outer: The host's socket, whose connections are forwarded; the caller owns it.
        """
        super().__init__(fileno=descriptor)
        self.setblocking(False)
        self._broker = broker
        self._outer = outer
        self._spare: list[int] = []
        self._wanted = trio.Event()
        self._carrying: trio.CancelScope | None = None

    def carry(self, *, carries: bool = True) -> None:
        """See ``InnerSocket``."""
        if carries:
            self._wanted.set()
            return
        self._wanted = trio.Event()
        if self._carrying is not None:
            self._carrying.cancel()

    async def run(self) -> None:
        """Forward connections whenever ``carry`` says so. Cancellation: every connection is closed."""
        limiter = trio.CapacityLimiter(_MOST_CONNECTIONS)
        while True:
            while not self._wanted.is_set():
                await self._wanted.wait()
            with trio.CancelScope() as self._carrying:
                await carry_all(await retry_on_fd_exhaustion(self._dup_outer), self._open_stream, limiter)
                # The host's socket no longer listens.
                self._wanted = trio.Event()

    def close(self) -> None:
        """Close the socket and the spare ones."""
        spare, self._spare = self._spare, []
        for one in spare:
            socket.socket(fileno=one).close()
        super().close()

    async def open_connection(self) -> socket.socket:
        """See ``InnerSocket``. Cancellation: no connection is left."""
        # The broker may take a moment, in which another connection takes the last one.
        while not self._spare:
            more = await self._broker.connectable(self.fileno(), _SOCKETS_AT_ONCE)
            self._spare += more
            if self.fileno() < 0:
                self.close()
                raise OSError(errno.EBADF, "the preview's port was closed")
        made = socket.socket(fileno=self._spare.pop())
        try:
            made.setblocking(False)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await connect_socket(made, self.getsockname())
        except BaseException:
            trio.lowlevel.notify_closing(made)
            made.close()
            raise
        return made

    async def _open_stream(self) -> trio.SocketStream:
        inside = await retry_on_fd_exhaustion(self.open_connection)
        return trio.SocketStream(trio.socket.from_stdlib_socket(inside))

    async def _dup_outer(self) -> socket.socket:
        await trio.lowlevel.checkpoint()
        return self._outer.dup()


@asynccontextmanager
async def open_inner_listener(broker: Broker, outer: socket.socket) -> AsyncIterator[InnerListener]:
    """Open the inner socket of a preview's port; it forwards connections once ``carry`` was called.

    Args:
        broker: Makes the network namespace.
        outer: The preview's socket in the host's network; it stays open.

    Raises:
        OSError: The kernel refuses, or no file descriptor is free.

    Cancellation: every forwarded connection is closed.
    """
    host = "::1" if outer.family == socket.AF_INET6 else "127.0.0.1"
    with InnerListener(broker, await broker.listen(host, outer.getsockname()[1]), outer) as inner:
        async with beside(inner.run):
            yield inner


def is_harmless(listener: socket.socket) -> bool:
    """Return whether a sandbox may inherit the socket: it is alone in its network, or permanently restricted."""
    return isinstance(listener, InnerListener) or is_restricted(listener)
