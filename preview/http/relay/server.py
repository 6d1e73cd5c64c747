"""State of all relayed connections, and the choice of connections to relay."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from math import inf

import trio

from preview.http.metrics.carried import Carried
from preview.http.relay.connection import Connection
from preview.http.relay.head_cache import MAX_KNOWN, Dates, Known, Memo
from preview.http.relay.watch import Watch
from preview.proxy.admission import AccessGate, NodeRouter, RequestHead
from preview.proxy.forwarded import TrustedProxies
from preview.proxy.headers import RequestIds
from preview.proxy.pool import Pool
from preview.settings import Settings

# One buffer is enough for all, because no wait occurs between reading and sending; 64 KiB bodies fit in one piece.
_BUFFER_BYTES = 256 * 1024
# 4 s at four ticks a second: cached requests are dropped within 8 s of their last use.
_AGE_TICKS = 16
# Most seconds of silence in a started response while the service shuts down.
_QUIET_AT_DRAIN_S = 1.0

Relayed = Callable[[str, Callable[[], RequestHead], int, int, float], None]
"""Called for each relayed request with its method, head, status (0: aborted before a response), bytes of content,
and seconds."""


class Relay:
    """Carries requests for previews between sockets. Made by ``open_relay``.

    Attributes:
        access_gate: The access check.
        router: Passes requests on to other nodes; None outside a cluster.
        proxies: The trusted proxies in front of the service.
        pool: Connections to previews.
        watch: Notices arriving data, disconnects and passed deadlines.
        buffer: Buffer for one piece, valid until the next wait.
        memory: The same bytes, for searching.
        dates: Source of ``Date``.
        numbers: Source of request ids.
        known: Cached facts of earlier requests, by ``head_cache.block_of``.
        told: Called for each request.
        carried: Counts bytes.
        is_draining: The service is shutting down: connections close after the response.
        keep_alive_s: Seconds that a connection may wait for its next request.
        answer_s: Seconds that a preview has for the head of its response.
        body_s: Seconds that a client has for the next piece of content.
        idle_s: Seconds that a response or a tunnel may be quiet.
    """

    def __init__(
        self,
        access_gate: AccessGate,
        settings: Settings,
        *,
        watch: Watch,
        pool: Pool,
        known: Memo[bytes, Known],
        keep_alive_s: float,
        told: Relayed,
        carried: Carried,
        router: NodeRouter | None = None,
    ) -> None:
        self.access_gate = access_gate
        self.router = router
        self.proxies = TrustedProxies(settings)
        self.pool = pool
        self.watch = watch
        self.memory = bytearray(_BUFFER_BYTES)
        self.buffer = memoryview(self.memory)
        self.dates = Dates()
        self.numbers = RequestIds()
        self.known = known
        self.told = told
        self.carried = carried
        self.is_draining = False
        self.keep_alive_s = keep_alive_s
        self.answer_s = settings.proxy_timeout_s
        self.body_s = settings.body_timeout_s
        self.idle_s = settings.proxy_idle_timeout_s
        self._open: set[Connection] = set()

    async def serve(self, stream: trio.SocketStream, *, is_from_node: bool = False) -> bytes | None:
        """Relay requests until one is not for a preview or is not strictly written.

        Args:
            stream: A connection from which nothing was read; stays open.
            is_from_node: Whether another node has proved itself on it.

        Returns:
            All bytes that were read but not relayed, for the server that takes over; None if the connection has ended.

        Cancellation: the current request is aborted.
        """
        given = stream.socket
        # The same descriptor without trio's checkpoints, each of which would cost as much as the work between two.
        sock = socket.socket(given.family, given.type, given.proto, fileno=given.fileno())
        try:
            sock.setblocking(False)
            connection = Connection(self, sock, _peer(sock), is_from_node=is_from_node)
            self._open.add(connection)
            try:
                return await connection.run()
            finally:
                self._open.discard(connection)
        finally:
            sock.detach()

    def drain(self) -> None:
        """Start to close connections: idle ones at once, the others after their response."""
        self.is_draining = True
        self.idle_s = min(self.idle_s, _QUIET_AT_DRAIN_S)
        for connection in list(self._open):
            connection.drain()


@asynccontextmanager
async def open_relay(
    access_gate: AccessGate,
    settings: Settings,
    *,
    keep_alive_s: float = 5.0,
    told: Relayed = lambda *_: None,
    carried: Carried | None = None,
    router: NodeRouter | None = None,
) -> AsyncIterator[Relay]:
    """Provide a relay, which must stay open while connections are served.

    Cancellation: connections to previews are closed.
    """
    pool, known = Pool(connect_timeout_s=inf), Memo[bytes, Known](MAX_KNOWN)
    ticks = count(1)

    def tick() -> None:
        pool.sweep()
        if not next(ticks) % _AGE_TICKS:
            known.age()

    with Watch(tick) as watch:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch.look)
                yield Relay(
                    access_gate, settings, watch=watch, pool=pool, known=known, keep_alive_s=keep_alive_s, told=told,
                    carried=carried or Carried(), router=router,
                )  # fmt: skip
                nursery.cancel_scope.cancel()
        finally:
            pool.close()


def _peer(sock: socket.socket) -> str | None:
    """Return the peer's address; None on a unix socket, or after the peer has gone."""
    try:
        peer = sock.getpeername()
    except OSError:
        return None
    return str(peer[0]) if isinstance(peer, tuple) else None
