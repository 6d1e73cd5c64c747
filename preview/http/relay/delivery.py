"""A preview's answer on its way to the client."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import trio

from preview.http.relay.head_cache import Returned, returned
from preview.http.relay.proxied_request import Answering, ProxiedRequest
from preview.proxy.carriage import answer_fields, trailer_fields
from preview.proxy.http1 import (
    HEAD_END,
    LAST_CHUNK,
    MAX_ANSWER_HEAD,
    MAX_INTERIM,
    Answer,
    Field,
    Payload,
    Unclean,
    body_of,
    chunk,
    field_lines,
    read_answer,
)
from preview.proxy.network_stream import BrokenConnection, NetworkStream, UpstreamGone
from preview.proxy.pool import UpstreamConnection

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection


_YIELD_BYTES = 1024 * 1024


async def run_tunnel(connection: Connection, upstream: UpstreamConnection) -> None:
    """Carry bytes both ways until both sides have ended, or one is lost, or nothing has come for too long.

    An end on one side is passed on, and the other direction stays open. A side that takes nothing is not read for.

    Cancellation: both directions end where they are.
    """
    connection.is_tunnel = True
    client = connection.stream
    async with trio.open_nursery() as nursery:
        for source, sink in ((client, upstream), (upstream, client)):
            nursery.start_soon(_carry, connection, source, sink, nursery.cancel_scope)


async def _carry(connection: Connection, source: NetworkStream, sink: NetworkStream, scope: trio.CancelScope) -> None:
    relay = connection.relay
    data = memoryview(source.rest)
    source.rest = b""
    unyielded = 0
    try:
        while True:
            connection.deadline = monotonic() + relay.idle_s
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


# A reader that takes nothing in this time has stalled, as in ``http.tcp``.
_STALLED_S = 30.0
# Who lets a piece wait for longer than this reads slowly: of such a one less is held here, there may be thousands.
_SLOW_S = 0.05
_SLOW_BYTES = 32 * 1024
# A transfer that never has to wait yields now and then.
_CONTINUE, _SWITCHING, _FINAL = 100, 101, 200


# What is done without waiting


def begin(request: ProxiedRequest, found: Returned, came: memoryview) -> Answering:
    """Send the answer's head, and what has come of its content; what the socket does not take is ``request.unsent``.

    Raises:
        Unclean: The content is not framed strictly: then nothing was sent.
        ClientGone: Nobody takes it.
    """
    connection = request.connection
    relay = connection.relay
    body = body_of(found.answer.length)
    pieces: list[memoryview] = []
    if body.is_over:
        body.rest = bytes(came)
    elif came:
        pieces = body.feed(came)
    request.closes = request.closes or relay.is_draining or found.is_unbounded
    request.answering = answering = Answering(found, body)
    request.is_unbounded = found.is_unbounded
    request.status, request.answered_at = found.answer.status, monotonic()
    connection.deadline = request.answered_at + relay.idle_s
    head = found.head(request.number, relay.dates.now(), closes=request.closes)
    request.unsent = connection.stream.send_now([head, *_framed(request, answering, pieces)])
    return answering


def feed(request: ProxiedRequest, answering: Answering, size: int) -> None:
    """Send on what has come into the buffer; what the socket does not take is ``request.unsent``.

    Args:
        request: Whose answer it is.
        answering: The answer.
        size: Bytes; 0 is the end of the connection.

    Raises:
        UpstreamGone: The content is not whole.
        Unclean: It is not framed strictly.
        ClientGone: Nobody takes it.
    """
    body = answering.body
    pieces: list[memoryview] = []
    if size:
        pieces = body.feed(request.connection.relay.buffer[:size])
    elif not body.end():
        raise UpstreamGone
    framed = _framed(request, answering, pieces)
    if framed:
        request.unsent = request.connection.stream.send_now(framed)


def is_clean(request: ProxiedRequest, answering: Answering) -> bool:
    """Whether the preview's connection can take the next request behind an answer that is over."""
    # More than one answer would be taken for that of the next request (response queue poisoning).
    return answering.returned.answer.is_kept and not answering.body.rest and request.ask.method != b"HEAD"


def _framed(request: ProxiedRequest, answering: Answering, pieces: list[memoryview]) -> list[Payload]:
    """Content as the client reads it."""
    body = answering.body
    for piece in pieces:
        request.sent_bytes += len(piece)
    if not answering.returned.in_chunks:
        return list(pieces)
    if not body.is_over:
        return chunk(pieces)
    trailers = trailer_fields(body.trailers) if body.trailers and request.ask.takes_trailers else []
    return [*chunk(pieces), b"0\r\n%b\r\n" % field_lines(trailers) if trailers else LAST_CHUNK]


class Delivery:
    """Reads an answer and sends it on, waiting for both sides.

    Args:
        request: Whose answer it is.
    """

    __slots__ = ("_connection", "_relay", "_request")

    def __init__(self, request: ProxiedRequest) -> None:
        self._request = request
        self._connection = request.connection
        self._relay = request.connection.relay

    async def run(self, upstream: UpstreamConnection) -> bool:
        """Deliver it, from where it is; whether the preview's connection can take the next request.

        Raises:
            UpstreamGone: The answer did not come, or broke off.
            Unclean: It is not written strictly.
            ClientGone: Nobody takes it.

        Cancellation: part of it may have been sent.
        """
        request = self._request
        answering = request.answering
        if answering is None:
            answer, came = await self._answer(upstream)
            if answer.status == _SWITCHING:
                upstream.rest = bytes(came)
                await self._switch(upstream, answer)
                return False
            answering = begin(request, returned(answer, request.ask, request.head, request.admitted), came)
        await self._send_unsent()
        await self._stream(upstream, answering)
        return is_clean(request, answering)

    async def _answer(self, upstream: UpstreamConnection) -> tuple[Answer, memoryview]:
        """The head of the final answer, and what has come behind it; those before it are passed on."""
        ask = self._request.ask
        for _ in range(MAX_INTERIM):
            answer, came = await self._one_head(upstream)
            if answer.status >= _FINAL:
                return answer, came
            upstream.rest = bytes(came)
            if answer.status == _SWITCHING:
                protocols = [value.lower() for name, value in answer.fields if name == b"upgrade"]
                if ask.upgrade != b"websocket" or protocols != [b"websocket"]:
                    raise Unclean("it switches to a protocol that nobody asked for")
                return answer, came
            if ask.is_11 and (answer.status != _CONTINUE or ask.expects):
                fields = self._without_length(answer)
                await self._send(b"HTTP/1.1 %d %b\r\n%b\r\n" % (answer.status, answer.reason, field_lines(fields)))
        raise Unclean(f"more than {MAX_INTERIM} interim answers")

    def _without_length(self, answer: Answer) -> list[Field]:
        """The fields of an interim answer: it has no content, and no length of one (RFC 9110 section 8.6)."""
        request = self._request
        fields = answer_fields(answer.fields, request.head, request.admitted, request.number)
        return [field for field in fields if field[0] != b"content-length"]

    async def _one_head(self, upstream: UpstreamConnection) -> tuple[Answer, memoryview]:
        """The next head, and what has come behind it: a part of the shared buffer, good until the next wait."""
        relay = self._relay
        if upstream.rest:
            relay.buffer[: len(upstream.rest)] = upstream.rest
        size = len(upstream.rest)
        upstream.rest = b""
        while (end := relay.memory.find(HEAD_END, 0, min(size, MAX_ANSWER_HEAD))) < 0:
            if size >= MAX_ANSWER_HEAD:
                raise Unclean(f"its head is longer than {MAX_ANSWER_HEAD} bytes")
            held = bytes(relay.buffer[:size])
            size = await upstream.receive_behind(relay.buffer, held)
            if size == len(held):
                raise UpstreamGone
            self._request.has_begun = True
        answer = read_answer(bytes(relay.buffer[:end]), is_head=self._request.ask.method == b"HEAD")
        return answer, relay.buffer[end + len(HEAD_END) : size]

    async def _stream(self, upstream: UpstreamConnection, answering: Answering) -> None:
        """What is left of the content."""
        request, relay, connection = self._request, self._relay, self._connection
        unyielded = 0
        room = relay.buffer
        while not answering.body.is_over:
            connection.deadline = monotonic() + relay.idle_s
            size = await upstream.receive_into(room)
            feed(request, answering, size)
            if request.unsent:
                began = monotonic()
                await self._send_unsent()
                if monotonic() - began > _SLOW_S:
                    room = relay.buffer[:_SLOW_BYTES]
            unyielded += size
            if unyielded > _YIELD_BYTES:
                unyielded = 0
                await trio.lowlevel.checkpoint()

    async def _send(self, data: bytes) -> None:
        self._request.unsent = self._connection.stream.send_now((data,))
        await self._send_unsent()

    async def _send_unsent(self) -> None:
        request, connection = self._request, self._connection
        while request.unsent:
            connection.deadline = monotonic() + _STALLED_S
            request.unsent = await connection.stream.send_on(request.unsent)

    async def _switch(self, upstream: UpstreamConnection, answer: Answer) -> None:
        """From here on both speak another protocol, of which nothing is read."""
        request = self._request
        fields = self._without_length(answer)
        fields += [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]
        request.status, request.answered_at, request.closes = answer.status, monotonic(), True
        await self._send(b"HTTP/1.1 101 %b\r\n%b\r\n" % (answer.reason, field_lines(fields)))
        await run_tunnel(self._connection, upstream)
