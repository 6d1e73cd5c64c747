"""Hypercorn's TCP connection, strict with its input, and never stopped for ever by a stalled reader."""

from __future__ import annotations

import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H2ProtocolAssumedError
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from preview.http.protocol.strict import ConnectionArguments
from preview.http.protocol.strict_h2 import StrictH2Protocol
from preview.http.protocol.strict_ws import Sends
from preview.http.protocol.takeover import HandingH11Protocol, TakenConnection, Takeover
from preview.http.relay import Relay

# Each piece renews the time: slow readers (from 2 KiB/s on) are not stalled ones.
_PIECE_BYTES = 64 * 1024

Stream = trio.SSLStream[trio.SocketStream]


class StrictProtocols(ProtocolWrapper):
    """Hypercorn's choice of a protocol for a connection, where each one is ours."""

    def __init__(self, alpn_protocol: str | None, *connection: *ConnectionArguments) -> None:
        """Stand in for ``ProtocolWrapper.__init__``, which names Hypercorn's classes."""
        self._connection = connection
        make = StrictH2Protocol if alpn_protocol == "h2" else HandingH11Protocol
        self.protocol = make(*connection)

    async def handle(self, event: Event) -> None:
        """Pass on what came. Cancellation: the connection is left as it is."""
        try:
            await self.protocol.handle(event)
        except H2ProtocolAssumedError as error:
            # The client knew before that we speak HTTP/2 (RFC 9113 section 3.3).
            self.protocol = StrictH2Protocol(*self._connection)
            await self.protocol.initiate()
            if error.data:
                await self.protocol.handle(RawData(data=error.data))


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
        *,
        relay: Relay | None = None,
    ) -> None:
        super().__init__(app, config, context, state, stream)
        self._sends = sends
        self._relay = relay
        # Read from the connection before Hypercorn.
        self._came = b""
        # The peer has closed, or is gone: nothing comes any more.
        self._ended = False
        self._reading = trio.CancelScope()
        self._handover: Takeover | None = None

    @property
    def following(self) -> TakenConnection | None:
        """Continuation of the connection after Hypercorn; None if it is closed."""
        return None if self._handover is None else self._handover.following(self._sends)

    def abandon(self) -> None:
        """Drop the continuation: the connection failed."""
        if self._handover is not None:
            self._handover.abandon()

    async def run(self) -> None:
        """Serve the connection: requests for previews by the relay, the others by Hypercorn.

        Cancellation: what is under way is cut, and the stream closed.
        """
        if self._relay is not None and isinstance(self.stream, trio.SocketStream):
            came: bytes | None = None
            try:
                came = await self._relay.serve(self.stream)
            finally:
                if came is None:
                    await trio.aclose_forcefully(self.stream)
            if came is None:
                return
            self._came = came
        await self._serve(self.stream)

    async def _serve(self, stream: Stream | trio.SocketStream) -> None:
        """Stand in for ``TCPServer.run``, which names the class of its protocols itself."""
        alpn_protocol = None
        if isinstance(stream, trio.SSLStream):
            try:
                with trio.fail_after(self.config.ssl_handshake_timeout):
                    await stream.do_handshake()
            except (trio.BrokenResourceError, trio.TooSlowError):
                return
            alpn_protocol = stream.selected_alpn_protocol()
            plain = stream.transport_stream
        else:
            plain = stream
        sock = plain.socket
        try:
            client, server = (parse_socket_addr(sock.family, one) for one in (sock.getpeername(), sock.getsockname()))
            async with TaskGroup() as self._task_group:
                state, is_tls = ConnectionState(self.state), plain is not stream
                self.protocol = StrictProtocols(
                    alpn_protocol,
                    *(self.app, self.config, self.context, self._task_group, state),
                    *(is_tls, client, server, self.protocol_send),
                )
                if isinstance(self.protocol.protocol, HandingH11Protocol):
                    self._handover = self.protocol.protocol.handover
                await self.protocol.initiate()
                await self.idle_task.restart(self._task_group, self._idle_timeout)
                await self._read_data()
        except OSError:
            pass
        finally:
            # Cancelled, it is cut: Trio's ``serve_listeners`` closes the stream.
            await self._close()  # noqa: ASYNC102

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, or close, or note idleness. Cancellation: a write that has started is ended, or the stream is."""
        if isinstance(event, RawData):
            if not await self._write(event.data):
                await trio.aclose_forcefully(self.stream)
                await self.protocol.handle(Closed())
        elif not (self._ended and isinstance(event, Updated)):
            await super().protocol_send(event)

    async def _read_data(self) -> None:
        with self._reading:
            if self._came:
                await self.protocol.handle(RawData(self._came))
            await super()._read_data()
        # Hypercorn would hold the connection for the rest of its idle time: a descriptor and two tasks, each.
        self._ended = True
        await self.idle_task.stop()

    async def _close(self) -> None:
        if self._handover is not None and self._handover.is_taken:
            self._reading.cancel()
        else:
            await super()._close()

    async def _write(self, data: bytes) -> bool:
        """Write the chunk; return whether all of it was sent."""
        view = memoryview(data)
        async with self.send_lock:
            try:
                with self._sends.bounded(shield=True) as scope:
                    for start in range(0, len(view), _PIECE_BYTES):
                        self._sends.renew(scope)
                        await self.stream.send_all(view[start : start + _PIECE_BYTES])
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False
        return not scope.cancelled_caught
