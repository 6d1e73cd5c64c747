"""Connections to previews that are kept for the next request."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Protocol

import trio

from preview.proxy.network_stream import NetworkStream, UpstreamGone

# Of servers that close idle connections on their own uvicorn and Node do so after 5 s: be before them.
_IDLE_S = 4.0
# gunicorn closes after 2 s. A request that must not be sent twice goes on a connection that was in use a moment ago.
_FRESH_S = 1.0
# A page opens six; a load test, or many visitors, some dozens.
_MAX_IDLE_EACH = 64
_MAX_IDLE = 512
# Of connect(2), asked once more.
_CONNECTING = frozenset({errno.EINPROGRESS, errno.EALREADY})
_CONNECTED = frozenset({0, errno.EISCONN})

Address = tuple[str, int]
Key = tuple[str, int]


class Refused(Exception):
    """Nobody accepts connections there."""


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
    """Idle connections by preview and process, the last used first."""

    def __init__(self) -> None:
        self._idle: dict[Key, deque[UpstreamConnection]] = {}
        self._count = 0

    def take(self, key: Key, *, may_repeat: bool) -> UpstreamConnection | None:
        """A connection on which nothing is under way; None where there is none.

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
        idle = self._idle.setdefault(upstream.key, deque())
        if len(idle) >= _MAX_IDLE_EACH or self._count >= _MAX_IDLE:
            upstream.close()
            return
        upstream.idle_since = monotonic()
        upstream.reader = self
        idle.append(upstream)
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
        """Close all that are idle."""
        for idle in self._idle.values():
            for upstream in idle:
                upstream.close()
        self._idle.clear()
        self._count = 0

    @property
    def idle(self) -> int:
        """How many are kept."""
        return self._count


async def connect(address: Address, key: Key) -> UpstreamConnection:
    """A new connection.

    Raises:
        Refused: Nobody accepts connections there.

    Cancellation: nothing is left.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Asked again after each wake-up, which is a hint only (see ``descriptors``); SO_ERROR is 0 while it connects.
        while (error := sock.connect_ex(address)) in _CONNECTING:
            await trio.lowlevel.wait_writable(sock)
    except BaseException:
        sock.close()
        raise
    if error not in _CONNECTED:
        sock.close()
        raise Refused(error)
    return UpstreamConnection(sock, key)


def _is_quiet(upstream: UpstreamConnection) -> bool:
    """Whether nothing has come, neither an end nor bytes that no request asked for."""
    try:
        upstream.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
