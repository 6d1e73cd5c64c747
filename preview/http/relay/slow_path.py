"""Slow path: the client connection's task carries any request to a preview and its response, waiting for both sides."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import trio

from preview.errors import InvalidRequest
from preview.http.relay.delivery import Delivery, Misdirected
from preview.http.relay.head_cache import Returned, returned
from preview.proxy.carriage import answer_fields
from preview.proxy.exchange import FINAL, SWITCHING, UpstreamExchange, alongside, translated
from preview.proxy.http1 import Answer, Unclean, body_of, field_lines
from preview.proxy.network_stream import BrokenConnection, ClientGone, NetworkStream
from preview.proxy.passing_on import is_misdirected
from preview.traffic import Origin

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

# A transfer that never waits yields to other tasks after this many bytes.
_YIELD_BYTES = 1024 * 1024
# A reader that takes nothing for this long has stalled, as in ``http.tcp``.
_STALLED_S = 30.0
# A client that delays a piece for longer is slow. Less is buffered for each, as there may be thousands.
_SLOW_S = 0.05
_SLOW_BYTES = 32 * 1024
_CONTINUE = 100
_WEBSOCKET = b"websocket"


class SlowPath:
    """Carries a request that was admitted.

    Attributes:
        awaits_client: Whether the task waits for the client instead of the preview.

    Args:
        delivery: The request. The caller releases it.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._exchange = delivery.exchange
        self._ask = delivery.request.ask
        self._connection = delivery.connection
        self._client = delivery.connection.stream
        self._relay = delivery.connection.relay
        # Reader of the request's content.
        self._body = body_of(self._ask.length)
        self.awaits_client = False

    async def run(self, head: bytes) -> bool:
        """Carry the request; return whether the client's connection can take the next one.

        Args:
            head: Head of the request to the preview.

        Raises:
            PreviewError: No valid response arrived, or it broke off.
            ClientGone: The client disconnected.

        Cancellation: the connection to the preview is closed.
        """
        came, content = self._client.rest, []
        if came and not self._body.is_over:
            content = self._read_content(memoryview(came))
            self._client.rest = self._body.rest
        self._connection.deadline = monotonic() + self._relay.answer_s
        await self._exchange.start(head, self._ask.length, content, is_last=self._body.is_over)
        if self._body.is_over:
            await self._exchange.drain()
            await self._answer()
        else:
            # The response may arrive while the request is still being sent.
            async with alongside(self._upload):
                await self._answer()
        # Require that all was sent, not only received: after an early response, the last piece may be unsent.
        return self._exchange.is_sent and not self._delivery.closes

    async def go_on(self) -> bool:
        """Continue a request that ``FastPath`` has started. Result, errors and cancellation as for ``run``."""
        delivery = self._delivery
        if delivery.failure is not None:
            with translated():
                raise delivery.failure
        if not delivery.status:
            self._connection.deadline = delivery.request.arrived_at + self._relay.answer_s
        await self._exchange.drain()
        await self._answer()
        return not delivery.closes

    def _read_content(self, came: memoryview) -> list[memoryview]:
        """Return the request's content in these bytes, without its trailers.

        A server would add trailers to the fields, and so bypass the rules for fields.
        """
        try:
            content = self._body.feed(came)
        except Unclean as cause:
            raise InvalidRequest(
                f"The request's content is not framed as RFC 9112 section 7.1 requires: {cause}."
            ) from cause
        self._relay.carried.from_browsers += sum(map(len, content))
        if self._delivery.recording is not None:
            for piece in content:
                self._delivery.recording.send(piece)
        return content

    async def _upload(self) -> None:
        relay, connection, exchange, body = self._relay, self._connection, self._exchange, self._body
        unyielded = 0
        while await self._drained() and not body.is_over:
            self.awaits_client = True
            if not self._delivery.status:
                connection.deadline = monotonic() + relay.body_s
            size = await self._client.receive_into(relay.buffer)
            if not size:
                raise ClientGone
            self.awaits_client = False
            exchange.send_content(self._read_content(relay.buffer[:size]), is_last=body.is_over)
            unyielded += size
            if unyielded > _YIELD_BYTES:
                unyielded = 0
                await trio.lowlevel.checkpoint()
        self._client.rest = body.rest
        if not self._delivery.status:
            connection.deadline = monotonic() + relay.answer_s

    async def _drained(self) -> bool:
        """Wait until the preview has taken what was sent; return whether it accepts more."""
        exchange = self._exchange
        while exchange.unsent:
            self._connection.deadline = monotonic() + self._relay.answer_s
            await exchange.send_more()
        return exchange.unsent is not None

    async def _answer(self) -> None:
        """Read the response from its current position, and forward it.

        Raises:
            PreviewError: The response is missing, incomplete or not strictly written.
            ClientGone: The client disconnected.

        Cancellation: part of the response may have been sent.
        """
        delivery, request, exchange = self._delivery, self._delivery.request, self._exchange
        with translated():
            found = delivery.returned
            if found is None:
                answer = await self._final_head()
                if request.admitted.is_node and is_misdirected(answer.status, answer.fields):
                    raise Misdirected
                if answer.status == SWITCHING:
                    await run_tunnel(self._connection, exchange)
                    return
                found = returned(answer, self._ask, request.head, request.admitted)
                await self._content(found, exchange.take_rest())
            else:
                await self._forward(found)

    async def _content(self, found: Returned, content: list[memoryview]) -> None:
        """Forward the head and all of the content.

        Args:
            found: The head.
            content: The content that arrived with it.

        Raises:
            UpstreamGone, Unclean, ClientGone: See ``_answer``.

        Cancellation: part of the response may have been sent.
        """
        self._delivery.begin(found, content)
        await self._forward(found)

    async def _forward(self, found: Returned) -> None:
        """Forward the content that has not arrived yet. Raises, cancellation: as ``_content``."""
        delivery, exchange = self._delivery, self._exchange
        await self._send_unsent()
        unyielded = 0
        room = self._relay.buffer
        while not exchange.body.is_over:
            self._connection.deadline = monotonic() + self._relay.idle_s
            size = await exchange.receive_into(room)
            delivery.feed(found, room[:size])
            if delivery.unsent:
                began = monotonic()
                await self._send_unsent()
                if monotonic() - began > _SLOW_S:
                    room = self._relay.buffer[:_SLOW_BYTES]
            unyielded += size
            if unyielded > _YIELD_BYTES:
                unyielded = 0
                await trio.lowlevel.checkpoint()

    async def _final_head(self) -> Answer:
        """Read the head of the final response, or of a protocol switch; forward earlier interim heads."""
        ask, delivery, request = self._ask, self._delivery, self._delivery.request
        upgrade = ask.upgrade if ask.upgrade == _WEBSOCKET else b""
        while (answer := await self._exchange.read_head(upgrade)).status < FINAL:
            fields = answer_fields(answer.fields, request.head, request.admitted, request.number)
            # An interim response has neither content nor its length (RFC 9110 section 8.6).
            fields = [field for field in fields if field[0] != b"content-length"]
            is_switching = answer.status == SWITCHING
            if is_switching:
                fields += [(b"connection", b"upgrade"), (b"upgrade", _WEBSOCKET)]
                delivery.status, delivery.answered_at, delivery.closes = answer.status, monotonic(), True
            if ask.is_11 and (answer.status != _CONTINUE or ask.expects):
                head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (answer.status, answer.reason, field_lines(fields))
                delivery.unsent = self._client.send_now((head,))
                await self._send_unsent()
            if is_switching:
                self._record_handshake(answer)
                break
        return answer

    def _record_handshake(self, answer: Answer) -> None:
        """Record the switch to another protocol now: the tunnel may stay open for hours."""
        recording, self._delivery.recording = self._delivery.recording, None
        if recording is not None:
            recording.origin = Origin.SOCKET
            recording.begin(answer, monotonic())
            recording.connected_at = self._exchange.connected_at
            recording.end()

    async def _send_unsent(self) -> None:
        delivery, connection = self._delivery, self._connection
        while delivery.unsent:
            connection.deadline = monotonic() + _STALLED_S
            delivery.unsent = await self._client.send_on(delivery.unsent)


async def run_tunnel(connection: Connection, exchange: UpstreamExchange) -> None:
    """Carry bytes in both directions until both sides have ended, one breaks, or both are idle for too long.

    The end of one side is forwarded; the other direction stays open. A stalled receiver pauses reading from its sender.

    Cancellation: both directions stop at once.
    """
    client, upstream = connection.stream, exchange.connection
    if upstream is None:
        return
    connection.is_tunnel = True
    async with trio.open_nursery() as nursery:
        for source, sink in ((client, upstream), (upstream, client)):
            nursery.start_soon(_carry, connection, source, sink, nursery.cancel_scope)


async def _carry(connection: Connection, source: NetworkStream, sink: NetworkStream, scope: trio.CancelScope) -> None:
    relay, is_upload = connection.relay, source is connection.stream
    data = memoryview(source.rest)
    source.rest = b""
    unyielded = 0
    try:
        while True:
            connection.deadline = monotonic() + relay.idle_s
            if is_upload:
                relay.carried.from_browsers += len(data)
            else:
                relay.carried.to_browsers += len(data)
            rest = sink.send_now((data,)) if data else data
            while rest:
                rest = await sink.send_on(rest)
            unyielded += len(data)
            if unyielded > _YIELD_BYTES:
                unyielded = 0
                await trio.lowlevel.checkpoint()
            size = await source.receive_into(relay.buffer)
            if not size:
                sink.end()
                return
            data = relay.buffer[:size]
    except BrokenConnection:
        scope.cancel()
