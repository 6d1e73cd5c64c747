"""WebSockets within bounds that Hypercorn leaves open.

Hypercorn says 1009 to a message that is too long, and then goes on reading it into memory. And it agrees to
``permessage-deflate`` (RFC 7692), where 64 KiB may become 64 MiB before anybody looks at the length; nothing here needs
it.

Whether the other end of a WebSocket is still there: pings (RFC 6455 section 5.5.2) and their answers.

ASGI has no ping, and Hypercorn's own are sent to nobody's use: it does not look for the pongs, and its task outlives
the connection by as long as the interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import trio
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import Ping

EXTENSIONS = b"sec-websocket-extensions"
"""The field in which a client offers them."""


def without_extensions(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a handshake, as of a client that offers no extension."""
    return [(name, value) for name, value in fields if name.lower() != EXTENSIONS]


async def end_overlong(stream: HTTPStream | WSStream | None) -> None:
    """End a WebSocket whose message is too long; called behind each piece that it was given.

    Cancellation: as Hypercorn does it.
    """
    if isinstance(stream, WSStream) and not stream.closed and stream.buffer.length > stream.buffer.max_length:
        stream.buffer.clear()
        await stream.send(StreamClosed(stream_id=stream.stream_id))


PEER_KEY = "preview.peer"
# Silent for so many pings: one may be on its way when the time is looked at.
_MISSED_PINGS = 2


class Peer:
    """The other end of one HTTP/1.1 connection.

    Attributes:
        heard_at: When anything came from it, by trio's clock.
    """

    __slots__ = ("_protocol", "heard_at")

    def __init__(self, protocol: H11Protocol) -> None:
        self._protocol = protocol
        self.heard_at = 0.0

    def heard(self) -> None:
        """Something came."""
        self.heard_at = trio.current_time()

    def bound_messages(self, characters: int) -> None:
        """Take no longer messages than this from it; a longer one ends the connection (1009)."""
        stream = self._protocol.stream
        if isinstance(stream, WSStream):
            stream.buffer.max_length = min(stream.buffer.max_length, characters)

    async def ping(self) -> None:
        """Ask whether it is there. Cancellation: the ping was sent or was not."""
        stream = self._protocol.stream
        if isinstance(stream, WSStream):
            await stream._send_wsproto_event(Ping())  # noqa: SLF001  there is no other way; hypercorn is pinned


def peer_in(scope: Mapping[str, Any]) -> Peer | None:
    """Return the WebSocket's peer; None on another server or HTTP/2, where the server handles it."""
    found = scope.get("state", {}).get(PEER_KEY)
    return found if isinstance(found, Peer) else None


async def watch_peer(peer: Peer, interval_s: float) -> None:
    """Ping it each ``interval_s`` seconds, until it has been silent for two. Cancellation: no more pings."""
    since = trio.current_time()
    while True:
        await trio.sleep(interval_s)
        if trio.current_time() - max(since, peer.heard_at) >= _MISSED_PINGS * interval_s:
            return
        await peer.ping()


# A reader that does not take one piece in this time has stalled: a suspended laptop, a client that stopped reading.
_STALLED_S = 30.0
# At a shutdown the last pieces are for readers that are there.
_STALLED_AT_SHUTDOWN_S = 1.0


class Sends:
    """The writes that are under way, so that a shutdown can shorten the time they have."""

    def __init__(self, stalled_s: float = _STALLED_S) -> None:
        self._limit_s = stalled_s
        self._open: set[trio.CancelScope] = set()

    @contextmanager
    def bounded(self, *, shield: bool) -> Iterator[trio.CancelScope]:
        """Provide a scope for one write, with a deadline; ``renew`` it before each piece."""
        with trio.CancelScope(shield=shield) as scope:
            self._open.add(scope)
            try:
                self.renew(scope)
                yield scope
            finally:
                self._open.discard(scope)

    def renew(self, scope: trio.CancelScope) -> None:
        """Give the write its time again."""
        scope.deadline = trio.current_time() + self._limit_s

    def hurry(self) -> None:
        """From now on readers have little time, those that are being written to also."""
        self._limit_s = min(self._limit_s, _STALLED_AT_SHUTDOWN_S)
        latest = trio.current_time() + self._limit_s
        for scope in self._open:
            scope.deadline = min(scope.deadline, latest)
