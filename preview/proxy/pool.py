"""Connections to previews that are kept for the next request."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol

import trio

from preview.errors import PreviewUnavailable, ServiceShort
from preview.proxy.network_stream import NetworkStream, UpstreamGone

# Of servers that close idle connections on their own uvicorn and Node do so after 5 s: be before them.
_IDLE_S = 4.0
# gunicorn closes after 2 s. A request that must not be sent twice goes on a connection that was in use a moment ago.
_FRESH_S = 1.0
# A page opens six; a load test, or many visitors, some dozens.
_MAX_IDLE_EACH = 64
_MAX_IDLE = 512
# A preview on this machine accepts at once or not at all; its backlog may be full for a moment.
_CONNECT_TIMEOUT_S = 5.0
# As often as the pool's own limit could pass.
_SWEEP_S = 4.0
# Of connect(2), asked once more.
_CONNECTING = frozenset({errno.EINPROGRESS, errno.EALREADY})
_CONNECTED = frozenset({0, errno.EISCONN})

Address = tuple[str, int]
Key = tuple[str, int]

# Of a connection that is never kept.
_NO_KEY = ("", 0)


class Reader(Protocol):
    """Called when bytes have come on a connection to a preview, without having to wait for them."""

    def came(self, upstream: UpstreamConnection) -> None:
        """Something may have come, or its end."""


class UpstreamConnection(NetworkStream):
    """A connection to a preview.

    Attributes:
        key: The preview and the number of its process.
        idle_since: When it was last given back.
        reader: Called when bytes come; None while somebody waits for it.
        forget: Called before its closing; None where nobody looks at it.
    """

    __slots__ = ("forget", "idle_since", "key", "reader")

    def __init__(self, sock: socket.socket, key: Key) -> None:
        super().__init__(sock, UpstreamGone)
        self.key = key
        self.idle_since = 0.0
        self.reader: Reader | None = None
        self.forget: Callable[[], None] | None = None

    def close(self) -> None:
        """Close it."""
        self.reader = None
        if self.forget is not None:
            self.forget()
        self.sock.close()


class Pool:
    """Idle connections by preview and process, the last used first.

    Args:
        connect_timeout_s: Seconds that a preview has to accept a new one.
    """

    def __init__(self, connect_timeout_s: float = _CONNECT_TIMEOUT_S) -> None:
        self.connect_timeout_s = connect_timeout_s
        self._idle: dict[Key, deque[UpstreamConnection]] = {}
        self._count = 0
        self._is_open = True

    def take(self, key: Key, *, may_repeat: bool) -> UpstreamConnection | None:
        """Take an idle connection, or None.

        Args:
            key: The preview and its process.
            may_repeat: Whether the request can be sent again should the connection turn out to be closed.
        """
        idle = self._idle.get(key)
        oldest = monotonic() - (_IDLE_S if may_repeat else _FRESH_S)
        while idle:
            if idle[-1].idle_since < oldest:
                # Those below it are older still; ``sweep`` closes them when they are too old for all.
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
        """Keep a connection on which an answer has ended cleanly."""
        if len(self._idle.get(upstream.key, ())) >= _MAX_IDLE_EACH or self._count >= _MAX_IDLE or not self._is_open:
            upstream.close()
            return
        upstream.idle_since = monotonic()
        upstream.reader = self
        self._idle.setdefault(upstream.key, deque()).append(upstream)
        self._count += 1

    def came(self, upstream: UpstreamConnection) -> None:
        """Close a kept connection on which something has come that nobody has asked for."""
        if _is_quiet(upstream):
            return
        idle = self._idle[upstream.key]
        idle.remove(upstream)
        self._count -= 1
        if not idle:
            del self._idle[upstream.key]
        upstream.close()

    def sweep(self) -> None:
        """Close what has been idle for too long: those to a preview that is gone, too."""
        oldest = monotonic() - _IDLE_S
        for key, idle in list(self._idle.items()):
            while idle and idle[0].idle_since < oldest:
                idle.popleft().close()
                self._count -= 1
            if not idle:
                del self._idle[key]

    def close(self) -> None:
        """Close all that are idle; those in use end with their requests."""
        self._is_open = False
        for idle in self._idle.values():
            for upstream in idle:
                upstream.close()
        self._idle.clear()
        self._count = 0

    @property
    def idle(self) -> int:
        """Number of kept connections."""
        return self._count


def _is_quiet(upstream: UpstreamConnection) -> bool:
    """Return whether nothing was received: neither an end nor unrequested bytes."""
    try:
        upstream.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@asynccontextmanager
async def open_pool() -> AsyncIterator[Pool]:
    """Open the pool. Idle connections are closed in time, and all at the end.

    Cancellation: they are closed.
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
    """Those to a preview that is gone would else stay until the next request to it: each a descriptor."""
    while True:
        await trio.sleep(_SWEEP_S)
        pool.sweep()


async def connect(address: Address, key: Key = _NO_KEY, timeout_s: float = _CONNECT_TIMEOUT_S) -> UpstreamConnection:
    """Open a new connection, which only the caller closes.

    Args:
        address: Host and port of the preview itself.
        key: The preview and its process.
        timeout_s: Seconds that it may take.

    Raises:
        PreviewUnavailable: Nobody accepts connections there.
        ServiceShort: The service can open no more of them.

    Cancellation: none is left.
    """
    error: int | None = None
    try:
        sock = socket.socket(_family(address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as failure:
        raise ServiceShort(f"The service cannot connect to the preview at the moment: {failure.strerror}.") from failure
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with trio.move_on_after(timeout_s):
            # Asked again after each wake-up, which is a hint only (see ``descriptors``); SO_ERROR is 0 meanwhile.
            while (error := sock.connect_ex(address)) in _CONNECTING:
                await trio.lowlevel.wait_writable(sock)
    except BaseException:
        sock.close()
        raise
    if error not in _CONNECTED:
        sock.close()
        raise PreviewUnavailable("The preview does not accept connections: it may be starting or gone.")
    return UpstreamConnection(sock, key)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET
