"""Pool of idle connections to previews."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol

import trio

from preview.core.descriptors import connect_socket, is_want_of_descriptors
from preview.errors import PreviewUnavailable, ServiceShort
from preview.proxy.network_stream import NetworkStream, UpstreamGone
from preview.runtime import InnerAddress

# Shorter than the idle timeout of uvicorn and Node, which is 5 s, so that the pool closes first.
_IDLE_S = 4.0
# gunicorn closes after 2 s. A request that must not be repeated needs a connection used within the last second.
_FRESH_S = 1.0
# A page opens six connections; a load test or many visitors open some dozens.
_MAX_IDLE_EACH = 64
_MAX_IDLE = 512
# A preview is on this machine and accepts at once or never, unless its backlog is full for a moment.
_CONNECT_TIMEOUT_S = 5.0
# Equal to the idle limit, so that a connection stays at most twice as long.
_SWEEP_S = 4.0

Address = tuple[str, int]
Key = tuple[str, int]

# Key of a connection that is never kept.
_NO_KEY = ("", 0)


class Reader(Protocol):
    """Notified when bytes arrive on a connection to a preview."""

    def came(self, upstream: UpstreamConnection) -> None:
        """Handle bytes or an end of stream that may have arrived."""


class UpstreamConnection(NetworkStream):
    """A connection to a preview.

    Attributes:
        key: The preview and the number of its process.
        idle_since: Monotonic time when the connection was last returned to the pool.
        reader: Notified when bytes arrive; None while a task waits for them.
        forget: Called before the socket is closed; None if nothing watches the socket.
    """

    __slots__ = ("forget", "idle_since", "key", "reader")

    def __init__(self, sock: socket.socket, key: Key) -> None:
        super().__init__(sock, UpstreamGone)
        self.key = key
        self.idle_since = 0.0
        self.reader: Reader | None = None
        self.forget: Callable[[], None] | None = None

    def close(self) -> None:
        """Close the connection."""
        self.reader = None
        if self.forget is not None:
            self.forget()
        self.sock.close()


class Pool:
    """Idle connections by preview and process, most recently used first.

    Args:
        connect_timeout_s: Seconds that a preview has to accept a new connection.
    """

    def __init__(self, connect_timeout_s: float = _CONNECT_TIMEOUT_S) -> None:
        self.connect_timeout_s = connect_timeout_s
        self._idle: dict[Key, deque[UpstreamConnection]] = {}
        self._count = 0
        self._is_open = True

    def take(self, key: Key, *, may_repeat: bool) -> UpstreamConnection | None:
        """Take an idle connection; None if there is no suitable one.

        Args:
            key: The preview and its process.
            may_repeat: Whether the request can be sent again if the connection turns out to be closed.
        """
        idle = self._idle.get(key)
        oldest = monotonic() - (_IDLE_S if may_repeat else _FRESH_S)
        while idle:
            if idle[-1].idle_since < oldest:
                # The others are older still; ``sweep`` closes them when they exceed the general limit.
                return None
            found = idle.pop()
            self._count -= 1
            if not idle:
                del self._idle[key]
            if _is_quiet(found):
                found.reader = None
                return found
            found.close()
        return None

    def give(self, upstream: UpstreamConnection) -> None:
        """Keep a connection whose last response ended cleanly, or close it if the pool is full or closed."""
        if len(self._idle.get(upstream.key, ())) >= _MAX_IDLE_EACH or self._count >= _MAX_IDLE or not self._is_open:
            upstream.close()
            return
        upstream.idle_since = monotonic()
        upstream.reader = self
        self._idle.setdefault(upstream.key, deque()).append(upstream)
        self._count += 1

    def came(self, upstream: UpstreamConnection) -> None:
        """Close an idle connection that has received unexpected bytes or an end of stream."""
        if _is_quiet(upstream):
            return
        idle = self._idle[upstream.key]
        idle.remove(upstream)
        self._count -= 1
        if not idle:
            del self._idle[upstream.key]
        upstream.close()

    def sweep(self) -> None:
        """Close connections that have been idle too long, including those to previews that are gone."""
        oldest = monotonic() - _IDLE_S
        for key, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < oldest:
                idle.popleft().close()
                self._count -= 1
            if not idle:
                del self._idle[key]

    def close(self) -> None:
        """Close all idle connections; those in use end with their requests."""
        self._is_open = False
        for idle in self._idle.values():
            for upstream in idle:
                upstream.close()
        self._idle.clear()
        self._count = 0

    @property
    def idle(self) -> int:
        """Number of idle connections."""
        return self._count


def _is_quiet(upstream: UpstreamConnection) -> bool:
    """Return whether the socket has received neither bytes nor an end of stream."""
    try:
        upstream.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@asynccontextmanager
async def open_pool() -> AsyncIterator[Pool]:
    """Open the pool. Idle connections are closed after a time limit, and all of them at the end.

    Cancellation: the idle connections are closed.
    """
    pool = Pool()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_sweep, pool)
            yield pool
            nursery.cancel_scope.cancel()
    finally:
        pool.close()


async def _sweep(pool: Pool) -> None:
    """Close old connections regularly: each to a gone preview would otherwise cost a descriptor."""
    while True:
        await trio.sleep(_SWEEP_S)
        pool.sweep()


async def connect(address: Address, key: Key = _NO_KEY, timeout_s: float = _CONNECT_TIMEOUT_S) -> UpstreamConnection:
    """Open a new connection, which the caller must close.

    Args:
        address: Host and port of the preview itself.
        key: The preview and its process.
        timeout_s: Most seconds to wait.

    Raises:
        PreviewUnavailable: The address does not accept connections.
        ServiceShort: The service can open no more sockets.

    Cancellation: the new socket is closed.
    """
    with trio.move_on_after(timeout_s):
        try:
            return UpstreamConnection(await _open_socket(address), key)
        except OSError as failure:
            if is_want_of_descriptors(failure):
                raise _service_short(failure) from failure
    raise PreviewUnavailable("The preview does not accept connections: it may be starting or gone.")


async def _open_socket(address: Address) -> socket.socket:
    if isinstance(address, InnerAddress):
        return await address.inner.open_connection()
    try:
        sock = socket.socket(_family(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as failure:
        raise _service_short(failure) from failure
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await connect_socket(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _service_short(failure: OSError) -> ServiceShort:
    return ServiceShort(f"The service cannot connect to the preview at the moment: {failure.strerror}.")


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
