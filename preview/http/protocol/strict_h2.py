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


class StrictH2Protocol(H2Protocol):
    """Hypercorn's HTTP/2, under bounds."""

    def __init__(self, *connection: *ConnectionArguments) -> None:
        super().__init__(*connection)
        # Frames that it may still send at once, and when that was counted.
        self._spare: float = _IDLE_FRAMES_AT_ONCE
        self._counted_at = 0.0
        self._inboxes: dict[int, Inbox] = {}

    async def initiate(self, headers: Fields | None = None, settings: bytes | None = None) -> None:
        """Say our settings. Cancellation: as Hypercorn does it."""
        await super().initiate(headers, settings)
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
        """Return whether the stream's own task reports its end, after everything before."""
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
            self.task_group.spawn(self._hand_on, stream_id, inbox)

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
                await end_overlong(stream)
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
        """Stand in for ``H2Protocol._create_stream``, which names the class of the buffer itself."""
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
            tasks,  # type: ignore[arg-type]  # has what streams need of a group
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
            # Answered without the application.
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
        """Give the space in the connection's window back, and tell the client to stop where the answer is out."""
        with suppress(h2.exceptions.ProtocolError):
            self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if event.stream_id not in self.stream_buffers:
                self.connection.reset_stream(event.stream_id, error_code=h2.errors.ErrorCodes.NO_ERROR)

    def _answer(self, stream_id: int, status: HTTPStatus, sentence: str) -> None:
        """Respond in place of the application, which never saw the request; ends only the stream."""
        fields, body = problem_answer(status.value, "invalid_request", sentence)
        fields = [(b":status", str(status.value).encode()), *fields, *self.config.response_headers("h2")]
        # Where the client gives it no window for a few hundred bytes it gets the head alone.
        with suppress(h2.exceptions.ProtocolError):
            self.connection.send_headers(stream_id, fields)
            self.connection.send_data(stream_id, body, end_stream=True)


def _is_idle(event: h2.events.Event) -> bool:
    """Return whether it requests nothing, but needs a response or a clean-up."""
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
    """Return why a request is refused, with the status; None if it is accepted."""
    pseudo = {name: value for name, value in fields if name.startswith(b":")}
    if pseudo[b":method"] == b"CONNECT" and pseudo.get(b":protocol") != b"websocket":
        return HTTPStatus.NOT_IMPLEMENTED, _NO_TUNNEL
    strict = _TOKEN.fullmatch(pseudo[b":method"]) and _TARGET.fullmatch(pseudo.get(b":path", b""))
    if not strict or any(_CONTROL.search(value) for _, value in fields):
        return HTTPStatus.BAD_REQUEST, _MALFORMED
    return None, ""
