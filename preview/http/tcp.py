"""Hypercorn's TCP connection, except that a reader who has stalled cannot hold up anything for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

__all__ = ["BoundedTCPServer", "Sends"]

# A reader that does not take one piece in this time has stalled: a suspended laptop, a client that stopped reading.
_STALLED_S = 30.0
# At a shutdown the last pieces are for readers that are there.
_STALLED_AT_SHUTDOWN_S = 1.0
# Each piece renews the time: slow readers (from 2 KiB/s on) are not stalled ones.
_PIECE_BYTES = 64 * 1024

Stream = trio.SSLStream[trio.SocketStream]


class Sends:
    """The writes that are under way, so that a shutdown can shorten the time they have."""

    def __init__(self, stalled_s: float = _STALLED_S) -> None:
        self._limit_s = stalled_s
        self._open: set[trio.CancelScope] = set()

    @contextmanager
    def shielded(self) -> Iterator[trio.CancelScope]:
        """A shielded scope for one write; ``renew`` it before each piece."""
        with trio.CancelScope(shield=True) as scope:
            self._open.add(scope)
            try:
                self.renew(scope)
                yield scope
            finally:
                self._open.discard(scope)

    def renew(self, scope: trio.CancelScope) -> None:
        """Give the write its time anew."""
        scope.deadline = trio.current_time() + self._limit_s

    def hurry(self) -> None:
        """From now on readers have little time, those that are being written to also."""
        self._limit_s = min(self._limit_s, _STALLED_AT_SHUTDOWN_S)
        latest = trio.current_time() + self._limit_s
        for scope in self._open:
            scope.deadline = min(scope.deadline, latest)


class BoundedTCPServer(TCPServer):
    """Hypercorn 0.18 shields ``send_all`` without a bound, so that one stalled reader hangs the shutdown.

    The shield itself is needed: half a frame written would break the connection for the other streams of an HTTP/2
    connection. Here it has a deadline; when it passes, the connection is closed at once and the application told.
    """

    def __init__(
        self,
        sends: Sends,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: ConnectionState,
        stream: Stream,
    ) -> None:
        super().__init__(app, config, context, state, stream)
        self._sends = sends

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, or close, or note idleness. Cancellation: a write that has begun is ended, or the stream is."""
        if isinstance(event, RawData):
            if not await self._write(event.data):
                await trio.aclose_forcefully(self.stream)
                await self.protocol.handle(Closed())
        else:
            await super().protocol_send(event)

    async def _write(self, data: bytes) -> bool:
        """Whether all of it went out."""
        view = memoryview(data)
        async with self.send_lock:
            try:
                with self._sends.shielded() as scope:
                    for start in range(0, len(view), _PIECE_BYTES):
                        self._sends.renew(scope)
                        await self.stream.send_all(view[start : start + _PIECE_BYTES])
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False
        return not scope.cancelled_caught
