"""HTTP/2, as strict as this service's HTTP/1.1, with limits that Hypercorn does not set.

h2 already limits concurrent streams, the size of a header list, the frames of one head (CONTINUATION) and flow control;
it also checks that ``Host`` and ``:authority`` agree. This module limits frames that cost the service work but the peer
nothing, and refuses requests that no application can receive. The end of a request affects only its own stream.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from http import HTTPStatus

import h2.errors
import h2.events
import h2.exceptions
from hypercorn.events import Closed, Event
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed, Trailers
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.utils import filter_pseudo_headers
from wsproto.utilities import ProtocolError as WebSocketError

from preview.http.protocol.inbox import BoundedBuffer, Inbox, StreamTasks
from preview.http.protocol.strict import ConnectionArguments, problem_answer
from preview.http.protocol.strict_ws import end_overlong, without_extensions

# Browsers reset the streams of a page that is left (100 at most), and ping now and then. Constant resets and pings are
# attacks ("rapid reset", CVE-2023-44487; floods of SETTINGS and PING, CVE-2019-9512, -9515).
_IDLE_FRAMES_AT_ONCE = 500
_IDLE_FRAMES_PER_S = 50.0

# Initial window of a stream (RFC 9113 section 6.9.2).
_WINDOW_BYTES = 65535

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NO_TUNNEL = "CONNECT opens no tunnel here, only WebSockets (RFC 8441)."
_MALFORMED = "The request is not valid HTTP/2 (RFC 9113 section 8.3) and was ignored."

Fields = list[tuple[bytes, bytes]]


class StrictH2Protocol(H2Protocol):
    """Hypercorn's HTTP/2 with limits."""

    def __init__(self, *connection: *ConnectionArguments) -> None:
        super().__init__(*connection)
        # Number of idle frames that the peer may still send, and the time of this count.
        self._spare: float = _IDLE_FRAMES_AT_ONCE
        self._counted_at = 0.0
        self._inboxes: dict[int, Inbox] = {}

    async def initiate(self, headers: Fields | None = None, settings: bytes | None = None) -> None:
        """Send the HTTP/2 settings. Cancellation: as in Hypercorn."""
        await super().initiate(headers, settings)
        # The connection's window covers all concurrent streams, so an unread upload blocks no other stream.
        self.connection.increment_flow_control_window((self.config.h2_max_concurrent_streams - 1) * _WINDOW_BYTES)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send an event of a stream. Cancellation: as in Hypercorn."""
        if isinstance(event, Trailers) and not event.headers:
            return  # h2 cannot send empty trailers; the stream's end follows
        if isinstance(event, StreamClosed):
            await self._end(event.stream_id)
        await super().stream_send(event)
        inbox = self._inboxes.get(event.stream_id)
        if inbox is not None and isinstance(event, Response):
            inbox.answered.set()

    async def handle(self, event: Event) -> None:
        """Handle received data. Cancellation: the connection stays in its current state."""
        await super().handle(event)
        if isinstance(event, Closed):
            # A task that waits for a window would wait forever.
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()

    async def _send_data(self, stream_id: int) -> None:
        buffer = self.stream_buffers.get(stream_id)
        await super()._send_data(stream_id)
        if isinstance(buffer, BoundedBuffer) and stream_id not in self.stream_buffers:
            # The stream counts as open until here: at a shutdown, the connection ends with its last stream.
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
        """Return whether the stream's own task reports its end, after all its data."""
        inbox = self._inboxes.get(stream_id)
        if inbox is None or not (inbox.is_delivering or isinstance(self.streams[stream_id], WSStream)):
            return False
        inbox.end()
        self._deliver(stream_id, inbox)
        return True

    def _take(self, event: h2.events.DataReceived) -> None:
        inbox = self._inboxes.get(event.stream_id)
        if inbox is None:
            # The response came before the whole request was read; Hypercorn would fail, and with it all other streams.
            self._let_go(event)
            return
        inbox.add(event.data)
        # Padding uses the window too, and nothing else acknowledges it.
        self._give_room(event.stream_id, event.flow_controlled_length - len(event.data))
        self._deliver(event.stream_id, inbox)

    def _deliver(self, stream_id: int, inbox: Inbox) -> None:
        if not inbox.is_delivering:
            inbox.is_delivering = True
            self.task_group.spawn(self._hand_on, stream_id, inbox)

    async def _hand_on(self, stream_id: int, inbox: Inbox) -> None:
        """Deliver the frames until the stream is over. Cancellation: the remaining frames are dropped."""
        stream = self.streams.get(stream_id)
        if isinstance(stream, WSStream):
            await inbox.answered.wait()
            if not stream.handshake.accepted:
                return
        while stream is not None and (data := await inbox.next_bytes()):
            try:
                await stream.handle(Body(stream_id=stream_id, data=data))
                await end_overlong(stream)
                await inbox.until_taken()
            except WebSocketError:
                # Raised after its close frame; other streams are not affected.
                break
            finally:
                self._give_room(stream_id, len(data))
            await self._flush()
        if isinstance(stream, WSStream):
            # No more messages can arrive, as after the end of a TCP connection (RFC 8441 section 5).
            await self.stream_send(StreamClosed(stream_id=stream_id))
        elif stream is not None:
            await stream.handle(EndBody(stream_id=stream_id))

    def _give_room(self, stream_id: int, count: int) -> None:
        with suppress(h2.exceptions.ProtocolError):
            self.connection.acknowledge_received_data(count, stream_id)

    async def _end(self, stream_id: int) -> None:
        """End a stream that the application has left open: Hypercorn would let the client wait forever."""
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None or stream_id not in self.streams:
            return
        if isinstance(self.streams[stream_id], WSStream):
            buffer.set_complete()  # the close frame is being sent
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
        """Push nothing: browsers refuse it (RFC 9113 section 8.4)."""

    async def _priority_updated(self, event: h2.events.PriorityUpdated) -> None:
        """Ignore priorities: they are deprecated (RFC 9113 section 5.3.2), and each unknown stream would use memory."""

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        """Replace ``H2Protocol._create_stream``, which hard-codes the class of the buffer."""
        stream_id, fields = request.stream_id, _joined_cookies(request.headers)
        status, sentence = _refusal(fields)
        if status is not None:
            self._answer(stream_id, status, sentence)
            return
        named = dict(fields)
        method, tasks = named[b":method"].decode("ascii").upper(), StreamTasks(self.task_group)
        make = WSStream if method == "CONNECT" else HTTPStream
        stream = self.streams[stream_id] = make(
            self.app,
            self.config,
            self.context,
            tasks,  # type: ignore[arg-type]  # has all that streams use
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            stream_id,
        )
        self.stream_buffers[stream_id] = BoundedBuffer(self.context.event_class)
        self.priority.insert_stream(stream_id)
        self.priority.block(stream_id)
        headers = filter_pseudo_headers(without_extensions(fields))
        await stream.handle(Request(stream_id, headers, "2", method, named[b":path"], self.connection_state))
        if tasks.inbox is None:
            # The response came without the application.
            self.streams.pop(stream_id, None)
        else:
            self._inboxes[stream_id] = tasks.inbox
        self.keep_alive_requests += 1
        await self.context.mark_request()

    def _may_idle(self) -> bool:
        now = time.monotonic()
        self._spare = min(_IDLE_FRAMES_AT_ONCE, self._spare + (now - self._counted_at) * _IDLE_FRAMES_PER_S) - 1
        self._counted_at = now
        return self._spare >= 0

    def _let_go(self, event: h2.events.DataReceived) -> None:
        """Extend the connection's window again, and tell the client to stop if the response is complete."""
        with suppress(h2.exceptions.ProtocolError):
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id not in self.stream_buffers:
                self.connection.reset_stream(event.stream_id, error_code=h2.errors.ErrorCodes.NO_ERROR)

    def _answer(self, stream_id: int, status: HTTPStatus, sentence: str) -> None:
        """Respond to a request that never reached the application; this ends only its stream."""
        fields, body = problem_answer(status.value, "invalid_request", sentence)
        fields = [(b":status", str(status.value).encode()), *fields, *self.config.response_headers("h2")]
        # If the client's window is too small for a few hundred bytes, it gets only the head.
        with suppress(h2.exceptions.ProtocolError):
            self.connection.send_headers(stream_id, fields)
            self.connection.send_data(stream_id, body, end_stream=True)


def _is_idle(event: h2.events.Event) -> bool:
    """Return whether the event requests nothing but needs a response or a clean-up."""
    if isinstance(event, h2.events.DataReceived):
        return not event.data and event.stream_ended is None
    # Priorities need no response, and browsers send one with each request.
    return isinstance(event, (h2.events.StreamReset, h2.events.RemoteSettingsChanged, h2.events.PingReceived))


def _joined_cookies(fields: Fields) -> Fields:
    """Join ``cookie`` fields: HTTP/2 may split them, which later readers do not expect (RFC 9113, 8.2.3)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    return [*((name, value) for name, value in fields if name != b"cookie"), (b"cookie", b"; ".join(crumbs))]


def _refusal(fields: Fields) -> tuple[HTTPStatus, str] | tuple[None, str]:
    """Return the status and the reason of a refusal; None if the request is accepted."""
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    if pseudo[b":method"] == b"CONNECT" and pseudo.get(b":protocol") != b"websocket":
        return HTTPStatus.NOT_IMPLEMENTED, _NO_TUNNEL
    strict = _TOKEN.fullmatch(pseudo[b":method"]) and _TARGET.fullmatch(pseudo.get(b":path", b""))
    if not strict or any(_CONTROL.search(value) for _, value in fields):
        return HTTPStatus.BAD_REQUEST, _MALFORMED
    return None, ""
