"""State of all relayed connections, and the choice of connections to relay."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from math import inf

import trio

from preview.http.relay.connection import Connection
from preview.http.relay.head_cache import MAX_KNOWN, Dates, Known, Memo
from preview.http.relay.watch import Watch
from preview.proxy.admission import AccessGate, RequestHead
from preview.proxy.forwarded import TrustedProxies
from preview.proxy.headers import RequestIds
from preview.proxy.pool import Pool
from preview.settings import Settings

# Read and sent on without a wait in between, so that one is enough for all; 64 KiB bodies pass in one piece.
_BUFFER_BYTES = 256 * 1024
# 4 s, at four ticks a second: what is known of a request is forgotten within 8 s of its last use.
_AGE_TICKS = 16
# How long an answer that has started may be quiet once the service goes down.
_QUIET_AT_DRAIN_S = 1.0

Relayed = Callable[[str, Callable[[], RequestHead], int, int, float], None]
"""Told of each relayed request: its method, its head, the status (0: it was cut before an answer), bytes of content,
seconds."""


class Relay:
    """Carries requests for previews between sockets. Made by ``open_relay``.

    Attributes:
        doorman: Who may pass.
        proxies: Who in front of us is believed.
        pool: Connections to previews.
        watch: Sees who is gone or late.
        buffer: For one piece, until the next wait.
        memory: The same bytes, to be searched.
        dates: ``Date``.
        numbers: Of requests.
        known: Requests like the next ones, by ``head_cache.block_of``.
        told: Told of each request.
        is_draining: The service is going down: connections end behind the answer.
        keep_alive_s: How long a connection may wait for its next request.
        answer_s: How long a preview has for the head of its answer.
        body_s: How long a client may take for the next piece of content.
        idle_s: How long an answer or a tunnel may be quiet.
    """

    def __init__(
        self,
        doorman: AccessGate,
        settings: Settings,
        *,
        watch: Watch,
        pool: Pool,
        known: Memo[bytes, Known],
        keep_alive_s: float,
        told: Relayed,
    ) -> None:
        self.doorman = doorman
        self.proxies = TrustedProxies(settings)
        self.pool = pool
        self.watch = watch
        self.memory = bytearray(_BUFFER_BYTES)
        self.buffer = memoryview(self.memory)
        self.dates = Dates()
        self.numbers = RequestIds()
        self.known = known
        self.told = told
        self.is_draining = False
        self.keep_alive_s = keep_alive_s
        self.answer_s = settings.proxy_timeout_s
        self.body_s = settings.body_timeout_s
        self.idle_s = settings.proxy_idle_timeout_s
        self._open: set[Connection] = set()

    async def serve(self, stream: trio.SocketStream) -> bytes | None:
        """Relay requests until one comes that is not for a preview, or not written strictly.

        Args:
            stream: A connection on which nothing was read; stays open.

        Returns:
            All that was read and is not relayed, for the server of the connection from here on; None where the
            connection is over.

        Cancellation: what is under way is cut.
        """
        given = stream.socket
        # The same descriptor without trio's checkpoints: each would cost as much as the work between two of them.
        sock = socket.socket(given.family, given.type, given.proto, fileno=given.fileno())
        try:
            sock.setblocking(False)
            connection = Connection(self, sock, _peer(sock))
            self._open.add(connection)
            try:
                return await connection.run()
            finally:
                self._open.discard(connection)
        finally:
            sock.detach()

    def drain(self) -> None:
        """From now on connections end: those that wait for a request at once, the others behind their answer."""
        self.is_draining = True
        self.idle_s = min(self.idle_s, _QUIET_AT_DRAIN_S)
        for connection in list(self._open):
            connection.drain()


@asynccontextmanager
async def open_relay(
    doorman: AccessGate, settings: Settings, *, keep_alive_s: float = 5.0, told: Relayed = lambda *_: None
) -> AsyncIterator[Relay]:
    """Provide a relay, for as long as connections are served within it.

    Cancellation: its connections to previews are closed.
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
                    doorman, settings, watch=watch, pool=pool, known=known, keep_alive_s=keep_alive_s, told=told
                )
                nursery.cancel_scope.cancel()
        finally:
            pool.close()


def _peer(sock: socket.socket) -> str | None:
    """Return the peer's address; None on a unix socket, or after it has gone."""
    try:
        peer = sock.getpeername()
    except OSError:
        return None
    return str(peer[0]) if isinstance(peer, tuple) else None
