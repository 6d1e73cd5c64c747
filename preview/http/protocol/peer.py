"""Whether the other end of a WebSocket is still there: pings (RFC 6455 section 5.5.2) and what comes back.

ASGI has no ping, and Hypercorn's own are sent to nobody's use: it does not look for the pongs, and its task outlives
the connection by as long as the interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import Ping

from preview.http.protocol.strict_ws import StrictWSStream

if TYPE_CHECKING:
    from preview.http.protocol.strict import StrictH11Protocol

PEER_KEY = "preview.peer"
# Silent for so many pings: one may be on its way when the time is looked at.
_MISSED_PINGS = 2


class Peer:
    """The other end of one HTTP/1.1 connection.

    Attributes:
        heard_at: When anything came from it, by trio's clock.
    """

    __slots__ = ("_protocol", "heard_at")

    def __init__(self, protocol: StrictH11Protocol) -> None:
        self._protocol = protocol
        self.heard_at = 0.0

    def heard(self) -> None:
        """Something came."""
        self.heard_at = trio.current_time()

    def bound_messages(self, characters: int) -> None:
        """Take no longer messages than this from it; a longer one ends the connection (1009)."""
        if isinstance(self._protocol.stream, StrictWSStream):
            self._protocol.stream.bound_messages(characters)

    async def ping(self) -> None:
        """Ask whether it is there. Cancellation: the ping was sent or was not."""
        stream = self._protocol.stream
        if isinstance(stream, WSStream):
            await stream._send_wsproto_event(Ping())  # noqa: SLF001  there is no other way; hypercorn is pinned


def peer_in(scope: Mapping[str, Any]) -> Peer | None:
    """The peer of this WebSocket; None behind another server or on HTTP/2, where the server looks after it."""
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
