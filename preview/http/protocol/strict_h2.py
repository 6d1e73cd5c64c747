"""HTTP/2 as strict as our HTTP/1.1, and within bounds that Hypercorn leaves open.

Bounded by h2 already: streams at a time, a header list's size, the frames of one head (CONTINUATION), flow control, and
that ``Host`` and ``:authority`` agree. Here: frames that cost us something and the peer nothing, what cannot be carried
on to an application, and a request's end, which is nobody's business but its own stream's.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from http import HTTPStatus

import h2.errors
import h2.events
import h2.exceptions
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Body, EndBody, Response, StreamClosed, Trailers
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2ProtocolAssumedError
from hypercorn.protocol.ws_stream import WSStream
from wsproto.utilities import ProtocolError as WebSocketError

from preview.http.core.answers import EarlyProblem
from preview.http.protocol.inbox import BoundedBuffer, Inbox, StreamTasks, bound
from preview.http.protocol.strict_ws import StrictWSStream, without_extensions

# A browser resets what a page leaves open when it is left (100 streams at most), and pings now and then. Who does so
# all the time wants to keep us busy ("rapid reset", CVE-2023-44487; floods of SETTINGS and PING, CVE-2019-9512, -9515).
_IDLE_FRAMES_AT_ONCE = 500
_IDLE_FRAMES_PER_S = 50.0

# Of a stream, in bytes: what RFC 9113 section 6.9.2 begins with.
_WINDOW_BYTES = 65535

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NO_TUNNEL = "CONNECT opens no tunnel here, only WebSockets (RFC 8441)."
_MALFORMED = "The request is not written by the rules of HTTP/2 (RFC 9113 section 8.3): it was not looked at."

Fields = list[tuple[bytes, bytes]]


class StrictProtocols(ProtocolWrapper):
    """Hypercorn's choice of a protocol, of which HTTP/2 is ours."""

    @classmethod
    def take_over(cls, other: ProtocolWrapper) -> None:
        """Let it be one of these. Nothing has come on the connection yet; HTTP/2 may have said its settings already."""
        # Hypercorn has no place where another class could be named, and has given the object away by now.
        other.__class__ = cls
        if type(other.protocol) is H2Protocol:
            other.protocol.__class__ = StrictH2Protocol
        if isinstance(other.protocol, StrictH2Protocol):
            other.protocol.begin()

    async def handle(self, event: Event) -> None:
        """Pass on what came. Cancellation: the connection is left as it is."""
        try:
            await self.protocol.handle(event)
        except H2ProtocolAssumedError as error:
            # The client knew before that we speak HTTP/2 (RFC 9113 section 3.3).
            self.protocol = StrictH2Protocol(
                self.app,
                self.config,
                self.context,
                self.task_group,
                self.state,
                self.ssl,
                self.client,
                self.server,
                self.send,
            )
            await self.protocol.initiate()
            self.protocol.begin()
            if error.data:
                await self.protocol.handle(RawData(data=error.data))


class StrictH2Protocol(H2Protocol):
    """Hypercorn's HTTP/2, under bounds."""

    # Frames that it may still send at once, and when that was counted. An object may have become one of this class.
    _spare: float = _IDLE_FRAMES_AT_ONCE
    _counted_at = 0.0
    _tasks: StreamTasks
    _inboxes: dict[int, Inbox]

    def begin(self) -> None:
        """Take up what Hypercorn has started, before anything comes."""
        self.task_group = self._tasks = StreamTasks(self.task_group)  # type: ignore[assignment]  # what streams need
        self._inboxes = {}
        # Enough for all streams at a time: one whose upload is not read takes nothing from the others.
        self.connection.increment_flow_control_window((self.config.h2_max_concurrent_streams - 1) * _WINDOW_BYTES)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what a stream says. Cancellation: as Hypercorn does it."""
        if isinstance(event, Trailers) and not event.headers:
            return  # which h2 cannot send; the stream's end comes behind it
        if isinstance(event, StreamClosed):
            await self._end(event.stream_id)
        await super().stream_send(event)
        inbox = self._inboxes.get(event.stream_id)
        if inbox is not None and isinstance(event, Response):
            inbox.answered.set()

    async def handle(self, event: Event) -> None:
        """Take in what came. Cancellation: the connection is left as it is."""
        await super().handle(event)
        if isinstance(event, Closed):
            # A task that waits for a window would wait for ever.
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()

    async def _send_data(self, stream_id: int) -> None:
        buffer = self.stream_buffers.get(stream_id)
        await super()._send_data(stream_id)
        if isinstance(buffer, BoundedBuffer) and stream_id not in self.stream_buffers:
            # Until now nobody may say that the stream is over: at a shutdown the connection ends with its last one.
            buffer.gone.set()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if _is_idle(event) and not self._may_idle():
                self.connection.close_connection(error_code=h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                await self._flush()
                await self.send(Closed())
                return
            if isinstance(event, h2.events.DataReceived):
                self._take(event)
            elif not (isinstance(event, h2.events.StreamEnded) and self._has_ended(event.stream_id)):
                await super()._handle_events([event])
        await self._flush()

    def _has_ended(self, stream_id: int) -> bool:
        """Whether the stream's own task will say so, behind all that came before."""
        inbox = self._inboxes.get(stream_id)
        if inbox is None or not (inbox.is_delivering or isinstance(self.streams[stream_id], WSStream)):
            return False
        inbox.end()
        self._deliver(stream_id, inbox)
        return True

    def _take(self, event: h2.events.DataReceived) -> None:
        inbox = self._inboxes.get(event.stream_id)
        if inbox is None:
            # Answered before all of it was read; Hypercorn would fail, and all other streams with it.
            self._let_go(event)
            return
        inbox.add(event.data)
        # Padding takes room too, which nobody else gives back.
        self._give_room(event.stream_id, event.flow_controlled_length - len(event.data))
        self._deliver(event.stream_id, inbox)

    def _deliver(self, stream_id: int, inbox: Inbox) -> None:
        if not inbox.is_delivering:
            inbox.is_delivering = True
            self._tasks.spawn(self._hand_on, stream_id, inbox)

    async def _hand_on(self, stream_id: int, inbox: Inbox) -> None:
        """Hand the frames on, until the stream is over. Cancellation: what is left is dropped."""
        stream = self.streams.get(stream_id)
        if isinstance(stream, WSStream):
            await inbox.answered.wait()
            if not stream.handshake.accepted:
                return
        while stream is not None and (data := await inbox.next_bytes()):
            try:
                await stream.handle(Body(stream_id=stream_id, data=data))
                await inbox.until_taken()
            except WebSocketError:
                # Said after its goodbye; not the other streams' business.
                break
            finally:
                self._give_room(stream_id, len(data))
            await self._flush()
        if isinstance(stream, WSStream):
            # No more messages can come, as when a TCP connection is closed (RFC 8441 section 5).
            await self.stream_send(StreamClosed(stream_id=stream_id))
        elif stream is not None:
            await stream.handle(EndBody(stream_id=stream_id))

    def _give_room(self, stream_id: int, count: int) -> None:
        with suppress(h2.exceptions.ProtocolError):
            self.connection.acknowledge_received_data(count, stream_id)

    async def _end(self, stream_id: int) -> None:
        """End what the application has left open: Hypercorn would let the client wait for ever."""
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None or stream_id not in self.streams:
            return
        if isinstance(self.streams[stream_id], WSStream):
            buffer.set_complete()  # its goodbye is on its way
            await self._window_updated(stream_id)
            return
        with suppress(h2.exceptions.ProtocolError):
            self.connection.reset_stream(stream_id, error_code=h2.errors.ErrorCodes.INTERNAL_ERROR)
        await self._window_updated(stream_id)
        await self._flush()

    async def _close_stream(self, stream_id: int) -> None:
        inbox = self._inboxes.pop(stream_id, None)
        if inbox is not None:
            self._give_room(stream_id, inbox.close())
        await super()._close_stream(stream_id)

    async def _create_server_push(self, stream_id: int, path: bytes, headers: Fields) -> None:
        """Nothing is pushed: browsers refuse it (RFC 9113 section 8.4)."""

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """Not followed: it is deprecated (RFC 9113 section 5.3.2), and each unknown stream would be remembered."""

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        request.headers = _joined_cookies(request.headers)
        status, sentence = _refusal(request.headers)
        if status is None:
            request.headers = without_extensions(request.headers)
            self._tasks.newest = None
            await super()._create_stream(request)
            made = self.streams.get(request.stream_id)
            if isinstance(made, WSStream):
                StrictWSStream.take_over(made)
            if self._tasks.newest is None:
                # Answered without the application.
                self.streams.pop(request.stream_id, None)
            else:
                self._inboxes[request.stream_id] = self._tasks.newest
            if request.stream_id in self.stream_buffers:
                bound(self.stream_buffers[request.stream_id])
        else:
            self._answer(request.stream_id, status, sentence)

    def _may_idle(self) -> bool:
        now = time.monotonic()
        self._spare = min(_IDLE_FRAMES_AT_ONCE, self._spare + (now - self._counted_at) * _IDLE_FRAMES_PER_S) - 1
        self._counted_at = now
        return self._spare >= 0

    def _let_go(self, event: h2.events.DataReceived) -> None:
        """Give the space in the connection's window back, and tell the client to stop where the answer is out."""
        with suppress(h2.exceptions.ProtocolError):
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id not in self.stream_buffers:
                self.connection.reset_stream(event.stream_id, error_code=h2.errors.ErrorCodes.NO_ERROR)

    def _answer(self, stream_id: int, status: HTTPStatus, sentence: str) -> None:
        """An answer in place of the application's, which never saw the request; the stream alone is over."""
        body = EarlyProblem.body(status, "invalid_request", sentence)
        fields = [
            (b":status", str(status.value).encode()),
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *self.config.response_headers("h2"),
        ]
        # Where the client gives it no window for a few hundred bytes it gets the head alone.
        with suppress(h2.exceptions.ProtocolError):
            self.connection.send_headers(stream_id, fields)
            self.connection.send_data(stream_id, body, end_stream=True)


def _is_idle(event: h2.events.Event) -> bool:
    """Whether it asks for nothing, but has to be answered or cleaned up after."""
    if isinstance(event, h2.events.DataReceived):
        return not event.data and event.stream_ended is None
    # Priorities are not answered, and browsers send one with each request.
    return isinstance(event, (h2.events.StreamReset, h2.events.RemoteSettingsChanged, h2.events.PingReceived))


def _joined_cookies(fields: Fields) -> Fields:
    """With one ``cookie`` field: HTTP/2 may cut it into crumbs, which nobody behind knows of (RFC 9113, 8.2.3)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    return [*((name, value) for name, value in fields if name != b"cookie"), (b"cookie", b"; ".join(crumbs))]


def _refusal(fields: Fields) -> tuple[HTTPStatus, str] | tuple[None, str]:
    """Why a request cannot be carried on, with the status; None where it can."""
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    if pseudo[b":method"] == b"CONNECT" and pseudo.get(b":protocol") != b"websocket":
        return HTTPStatus.NOT_IMPLEMENTED, _NO_TUNNEL
    strict = _TOKEN.fullmatch(pseudo[b":method"]) and _TARGET.fullmatch(pseudo.get(b":path", b""))
    if not strict or any(_CONTROL.search(value) for _, value in fields):
        return HTTPStatus.BAD_REQUEST, _MALFORMED
    return None, ""
