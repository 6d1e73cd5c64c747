"""Hypercorn's TCP connection with strict input, which a stalled reader cannot block forever."""

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

# Each piece renews the time limit, so readers slower than 2 KiB/s count as stalled.
_PIECE_BYTES = 64 * 1024

Stream = trio.SSLStream[trio.SocketStream]


class StrictProtocols(ProtocolWrapper):
    """Hypercorn's choice of a protocol for a connection, with this package's protocols."""

    def __init__(self, alpn_protocol: str | None, *connection: *ConnectionArguments) -> None:
        """Replace ``ProtocolWrapper.__init__``, which hard-codes Hypercorn's classes."""
        self._connection = connection
        make = StrictH2Protocol if alpn_protocol == "h2" else HandingH11Protocol
        self.protocol = make(*connection)

    async def handle(self, event: Event) -> None:
        """Forward an event to the protocol. Cancellation: the connection stays in its current state."""
        try:
            await self.protocol.handle(event)
        except H2ProtocolAssumedError as error:
            # The client assumed HTTP/2 support (RFC 9113 section 3.3).
            self.protocol = StrictH2Protocol(*self._connection)
            await self.protocol.initiate()
            if error.data:
                await self.protocol.handle(RawData(data=error.data))


class BoundedTCPServer(TCPServer):
    """A TCP connection whose writes have deadlines.

    Hypercorn 0.18 shields ``send_all`` without a deadline, so one stalled reader blocks the shutdown. A shield is
    needed, as half a frame would break other HTTP/2 streams. A missed deadline closes the connection.
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
        is_from_node: bool = False,
    ) -> None:
        super().__init__(app, config, context, state, stream)
        self._sends = sends
        self._relay = relay
        self._is_from_node = is_from_node
        # Bytes that the relay has read before Hypercorn.
        self._came = b""
        # The peer has closed or is gone: no more data arrives.
        self._ended = False
        self._reading = trio.CancelScope()
        self._handover: Takeover | None = None

    @property
    def following(self) -> TakenConnection | None:
        """Continuation of the connection after Hypercorn; None if it is closed."""
        return None if self._handover is None else self._handover.following(self._sends)

    def abandon(self) -> None:
        """Drop the continuation, because the connection failed."""
        if self._handover is not None:
            self._handover.abandon()

    async def run(self) -> None:
        """Serve the connection: the relay handles requests for previews, Hypercorn the others.

        Cancellation: the current request is aborted, and the stream is closed.
        """
        if self._relay is not None and isinstance(self.stream, trio.SocketStream):
            came: bytes | None = None
            try:
                came = await self._relay.serve(self.stream, is_from_node=self._is_from_node)
            finally:
                if came is None:
                    await trio.aclose_forcefully(self.stream)
            if came is None:
                return
            self._came = came
        await self._serve(self.stream)

    async def _serve(self, stream: Stream | trio.SocketStream) -> None:
        """Replace ``TCPServer.run``, which hard-codes the class of its protocols."""
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
            # After a cancellation, Trio's ``serve_listeners`` closes the stream.
            await self._close()  # noqa: ASYNC102

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, close, or note idleness. Cancellation: a started write is finished, or the stream is closed."""
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
        # Hypercorn would keep the connection, with a descriptor and two tasks, for the rest of its idle time.
        self._ended = True
        await self.idle_task.stop()

    async def _close(self) -> None:
        if self._handover is not None and self._handover.is_taken:
            self._reading.cancel()
        else:
            await super()._close()

    async def _write(self, data: bytes) -> bool:
        """Write the data; return whether all of it was sent."""
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
