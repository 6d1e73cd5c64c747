"""WebSocket limits and liveness checks that Hypercorn lacks, and time limits for writes.

Hypercorn answers a message that is too long with 1009, but continues to read it into memory. It also accepts
``permessage-deflate`` (RFC 7692), which may expand 64 KiB to 64 MiB before the length is checked; nothing here needs
that extension.

Pings (RFC 6455 section 5.5.2) show whether the peer is still there. ASGI has no ping. Hypercorn's own pings are
useless: it ignores the pongs, and its task outlives the connection by up to the interval.
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
"""The field in which a client offers extensions."""


def without_extensions(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a handshake without the offer of extensions."""
    return [(name, value) for name, value in fields if name.lower() != EXTENSIONS]


async def end_overlong(stream: HTTPStream | WSStream | None) -> None:
    """Close a WebSocket whose message is too long; called after each received piece.

    Cancellation: as in Hypercorn.
    """
    if isinstance(stream, WSStream) and not stream.closed and stream.buffer.length > stream.buffer.max_length:
        stream.buffer.clear()
        await stream.send(StreamClosed(stream_id=stream.stream_id))


PEER_KEY = "preview.peer"
# Number of silent ping intervals after which a peer counts as gone: one pong may be on its way at the check.
_MISSED_PINGS = 2


class Peer:
    """The other end of one HTTP/1.1 connection.

    Attributes:
        heard_at: When the last data arrived from the peer, by trio's clock.
    """

    __slots__ = ("_protocol", "heard_at")

    def __init__(self, protocol: H11Protocol) -> None:
        self._protocol = protocol
        self.heard_at = 0.0

    def heard(self) -> None:
        """Record that data arrived."""
        self.heard_at = trio.current_time()

    def bound_messages(self, characters: int) -> None:
        """Limit the length of the peer's messages; a longer one ends the connection (1009)."""
        stream = self._protocol.stream
        if isinstance(stream, WSStream):
            stream.buffer.max_length = min(stream.buffer.max_length, characters)

    async def ping(self) -> None:
        """Send a ping. Cancellation: the ping was sent or was not."""
        stream = self._protocol.stream
        if isinstance(stream, WSStream):
            await stream._send_wsproto_event(Ping())  # noqa: SLF001  no public method exists; hypercorn is pinned


def peer_in(scope: Mapping[str, Any]) -> Peer | None:
    """Return the WebSocket's peer; None on another server or HTTP/2, where the server handles it."""
    found = scope.get("state", {}).get(PEER_KEY)
    return found if isinstance(found, Peer) else None


async def watch_peer(peer: Peer, interval_s: float) -> None:
    """Ping each ``interval_s`` seconds, until the peer was silent for two intervals. Cancellation: no more pings."""
    since = trio.current_time()
    while True:
        await trio.sleep(interval_s)
        if trio.current_time() - max(since, peer.heard_at) >= _MISSED_PINGS * interval_s:
            return
        await peer.ping()


# A reader that takes no piece for this long has stalled: a suspended laptop, or a client that stopped reading.
_STALLED_S = 30.0
# At a shutdown, only readers that respond quickly get the last pieces.
_STALLED_AT_SHUTDOWN_S = 1.0


class Sends:
    """The current writes, so that a shutdown can shorten their time limits."""

    def __init__(self, stalled_s: float = _STALLED_S) -> None:
        self._limit_s = stalled_s
        self._open: set[trio.CancelScope] = set()

    @contextmanager
    def bounded(self, *, shield: bool) -> Iterator[trio.CancelScope]:
        """Provide a scope with a deadline for one write; call ``renew`` before each piece."""
        with trio.CancelScope(shield=shield) as scope:
            self._open.add(scope)
            try:
                self.renew(scope)
                yield scope
            finally:
                self._open.discard(scope)

    def renew(self, scope: trio.CancelScope) -> None:
        """Restart the write's time limit."""
        scope.deadline = trio.current_time() + self._limit_s

    def hurry(self) -> None:
        """Shorten the time limit of current and future writes."""
        self._limit_s = min(self._limit_s, _STALLED_AT_SHUTDOWN_S)
        latest = trio.current_time() + self._limit_s
        for scope in self._open:
            scope.deadline = min(scope.deadline, latest)
