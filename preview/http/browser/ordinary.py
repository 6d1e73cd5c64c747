"""The ASGI path to a preview, for requests that the socket-to-socket relay does not handle.

These come over TLS or HTTP/2, in a host's application, on another server, or with the relay disabled. Bodies are
streamed in both directions without storage; when one side disconnects, the other is informed at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

import trio
from werkzeug.exceptions import HTTPException

from preview.errors import InvalidRequest, PreviewError, PreviewUnavailable, UpstreamFailed, UpstreamTimeout
from preview.http.browser.scopes import BrowserApp, ExchangeApp, Receive, Scope, Send, head_of, mount_of, send_answer
from preview.http.browser.sockets import serve_socket
from preview.http.core.guard import check_request
from preview.proxy.admission import Admitted, OwnAnswer, RequestHead
from preview.proxy.carriage import answer_fields, carried_fields, trailer_fields
from preview.proxy.exchange import FINAL, UpstreamExchange, alongside, open_exchange
from preview.proxy.http1 import CHUNKED, LENGTH, NO_CONTENT, Answer, Field, request_head, takes_trailers
from preview.proxy.page_refresh import appended_script, continued
from preview.proxy.passing_on import is_misdirected
from preview.proxy.recording import Recording, recording_of

# Seconds for an unfinished response after the service starts to shut down; a stream has no end of its own.
_DRAIN_S = 1.0
# The last message is empty: it waits only for a stalled reader, and then the server gives up on its own.
_LAST_MESSAGE_S = 5.0
_EARLY_HINTS = 103


async def serve_ordinary(
    app: BrowserApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    peer: object,
    routed: Admitted | OwnAnswer | None = None,
) -> None:
    """Serve one HTTP or WebSocket scope that is for a preview, or for another node.

    Args:
        app: Provides the access gate and the backend.
        scope: An ASGI scope, as ``head_of`` requires.
        receive: ASGI.
        send: ASGI.
        peer: The ASGI client as reported by the server.
        routed: The way to another node, or an error; None: the access gate decides.

    Cancellation: the connection to the preview is closed.
    """
    begun = trio.current_time()
    arrived_at = monotonic()
    head = head_of(scope, peer)

    async def send_counted(message: Mapping[str, Any]) -> None:
        if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
            app.count_answer("preview", head.method, message.get("status", 101), trio.current_time() - begun)
        await send(message)

    outcome = await _admit(app, scope, head, routed)
    if scope["type"] == "websocket":
        await serve_socket(app, scope, head, outcome, receive, send_counted, arrived_at=arrived_at)
    elif isinstance(outcome, OwnAnswer):
        await send_answer(outcome, head, send_counted)
    else:
        await carry_exchange(app, scope, head, outcome, receive, send_counted, arrived_at=arrived_at)


async def carry_exchange(
    app: ExchangeApp,
    scope: Scope,
    head: RequestHead,
    admitted: Admitted,
    receive: Receive,
    send: Send,
    *,
    arrived_at: float,
) -> None:
    """Carry an admitted HTTP request, and its response.

    Args:
        app: Explains an exchange that failed.
        scope: An ASGI scope.
        head: The request.
        admitted: The result of the access check.
        receive: ASGI.
        send: ASGI.
        arrived_at: Arrival of the request, by ``time.monotonic``.

    Cancellation: the connection is closed.
    """
    await _Exchange(app, scope, head, admitted, receive, send, arrived_at=arrived_at).run()


async def _admit(
    app: BrowserApp, scope: Scope, head: RequestHead, routed: Admitted | OwnAnswer | None
) -> Admitted | OwnAnswer:
    try:
        check_exchange(scope, head)
    except (PreviewError, HTTPException) as error:
        return app.access_gate.refuse(head, error)
    return routed or await app.access_gate.authorize(head, mount_of(scope))


def check_exchange(scope: Scope, head: RequestHead) -> None:
    """Check a request that is to be passed on.

    Raises:
        InvalidRequest, RequestHeaderFieldsTooLarge: It is refused.
    """
    check_request(scope, None)
    if head.method in {"CONNECT", "TRACE"}:
        raise InvalidRequest(f"{head.method} cannot be passed on to a preview.", field="method")


class _Abandoned(Exception):
    """Nobody may wait for the response: the client has disconnected or lost its access, or the service shuts down."""


@contextmanager
def _until_revoked(admitted: Admitted) -> Iterator[None]:
    """Cut the exchange off when the visitor's access is revoked.

    Raises:
        _Abandoned: It was.
    """
    with trio.CancelScope() as scope:
        unwatch = None if admitted.watch is None else admitted.watch(scope.cancel)
        try:
            yield
        finally:
            if unwatch is not None:
                unwatch()
    if scope.cancelled_caught:
        raise _Abandoned


class _Exchange:
    """One request and its response, streamed in both directions at once."""

    def __init__(
        self,
        app: ExchangeApp,
        scope: Scope,
        head: RequestHead,
        admitted: Admitted,
        receive: Receive,
        send: Send,
        *,
        arrived_at: float,
    ) -> None:
        self._app = app
        self._extensions = scope.get("extensions") or {}
        self._head = head
        self._admitted = admitted
        self._receive = receive
        self._send = send
        self._limit_s = app.settings.proxy_timeout_s
        self._number = b""
        self._begun = False
        self._head_sent = trio.Event()
        self._first: Mapping[str, Any] | None = None
        # Whether the task waits for the client instead of the preview; and the client's time limit for a piece.
        self._awaits_client = False
        self._body_s = app.settings.body_timeout_s
        # Time limit for the head of the response; renewed while the request is still being sent.
        self._patience = trio.CancelScope()
        # Time limit for silence from both sides once the response has started.
        self._idle_s = app.settings.proxy_idle_timeout_s
        self._quiet = trio.CancelScope()
        self._recording: Recording | None = None
        self._arrived_at = arrived_at

    async def run(self) -> None:
        """Carry the exchange to its end. Cancellation: the connection to the preview is closed."""
        admitted = self._admitted
        try:
            pool = self._app.backend.client.pool
            with admitted.hold(), _until_revoked(admitted):
                async with (
                    alongside(self._drain),
                    open_exchange(pool, admitted.address, admitted.process, self._head.method) as upstream,
                    alongside(partial(self._upload, upstream)),
                ):
                    await self._carry(upstream)
            self._end_record(None)
        except _Abandoned:
            pass
        except PreviewError as error:
            self._end_record(error.code)
            # A response that breaks off after its start stays without its end, which its reader can see.
            if not self._begun:
                own = await self._app.access_gate.explain(self._head, admitted, error)
                await send_answer(own, self._head, self._send)
        finally:
            self._end_record("client_gone")

    def _end_record(self, error: str | None) -> None:
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.end(error)

    async def _drain(self) -> None:
        await self._app.backend.service.draining.wait()
        await trio.sleep(_DRAIN_S)
        raise _Abandoned

    async def _carry(self, upstream: UpstreamExchange) -> None:
        fields, self._number = carried_fields(self._head, self._admitted)
        recording = self._recording = recording_of(
            self._admitted, self._head.method, self._head.target, self._number, self._arrived_at, monotonic()
        )
        if recording is not None:
            recording.fields = fields
        target, trailers = self._admitted.target_of(self._head.target), self._takes_trailers()
        with self._patience:
            length = await self._framing()
            self._renew()
            head = request_head(self._head.method, target, fields, length, takes_trailers=trailers)
            await upstream.start(head, length or 0, is_last=not length)
            if recording is not None:
                recording.connected_at = monotonic()
            await upstream.drain()
            self._head_sent.set()
            answer = await self._final_head(upstream)
            if self._admitted.is_node and is_misdirected(answer.status, answer.fields):
                raise PreviewUnavailable("The preview moves to another node; try again.")
        if self._patience.cancelled_caught:
            raise self._late()
        await self._answer(upstream, answer)

    def _late(self) -> PreviewError:
        if self._awaits_client:
            return InvalidRequest(f"The request's content did not arrive within {self._body_s:g} s.")
        return UpstreamTimeout(
            f"The preview did not answer {self._head.method} within {self._limit_s:g} s.", timeout_s=self._limit_s
        )

    async def _framing(self) -> int | None:
        """Return the content's framing. The first message is kept if it had to be read."""
        said = dict(self._head.fields)
        length = said.get(b"content-length")
        if length is not None:
            if not LENGTH.fullmatch(length):
                raise InvalidRequest("The request's Content-Length is not a number.", field="content-length")
            return int(length)
        if b"transfer-encoding" in said:
            return CHUNKED
        # HTTP/2 requires neither field; a request without content ends with its first message.
        first = self._first = await self._next_piece()
        if first["type"] != "http.request":
            # Without its content, it would be another request.
            raise InvalidRequest("The request was aborted before its content arrived.")
        return CHUNKED if first.get("body") or first.get("more_body") else None

    async def _next_piece(self) -> MutableMapping[str, Any]:
        """Return the client's next piece of unfinished content."""
        self._awaits_client = True
        self._patience.deadline = trio.current_time() + self._body_s
        message = await self._receive()
        self._awaits_client = False
        self._renew()
        return message

    async def _upload(self, upstream: UpstreamExchange) -> None:
        """Forward the content; a client's disconnect ends the whole exchange."""
        await self._head_sent.wait()
        takes, message = True, self._first or await self._next_piece()
        while message["type"] == "http.request":
            # Content that the preview no longer reads is still received: the client may read only after it has sent.
            if takes and message.get("body"):
                takes = await self._pass_on(upstream, bytes(message["body"]))
            self._renew()
            if message.get("more_body"):
                message = await self._next_piece()
                continue
            if takes:
                upstream.send_content([], is_last=True)
                await upstream.drain()
            message = await self._receive()
        raise _Abandoned

    async def _pass_on(self, upstream: UpstreamExchange, piece: bytes) -> bool:
        """Send a piece of the content; return whether the preview accepts more.

        A preview that reads nothing within the response time limit gets no more content. Otherwise the client's
        disconnect, which follows the content, would stay unnoticed.
        """
        if self._recording is not None:
            self._recording.send(piece)
        with trio.move_on_after(self._limit_s) as patience:
            upstream.send_content([piece])
            takes = await upstream.drain()
        if patience.cancelled_caught:
            upstream.stop_sending()
            takes = False
        return takes

    def _renew(self) -> None:
        now = trio.current_time()
        self._patience.deadline, self._quiet.deadline = now + self._limit_s, now + self._idle_s

    async def _final_head(self, upstream: UpstreamExchange) -> Answer:
        """Return the head of the final response. Early hints (103) are forwarded if the server supports them."""
        while (answer := await upstream.read_head()).status < FINAL:
            if answer.status == _EARLY_HINTS and "http.response.early_hint" in self._extensions:
                fields = answer_fields(answer.fields, self._head, self._admitted, self._number)
                if links := [value for name, value in fields if name == b"link"]:
                    await self._send({"type": "http.response.early_hint", "links": links})
        return answer

    def _takes_trailers(self) -> bool:
        """Return whether trailers reach the client: it accepts them, and the server supports them."""
        return "http.response.trailers" in self._extensions and takes_trailers(self._head.fields)

    async def _answer(self, upstream: UpstreamExchange, answer: Answer) -> None:
        recording = self._recording
        if recording is not None:
            recording.begin(answer, monotonic())
        fields = answer_fields(_framed_once(answer), self._head, self._admitted, self._number)
        appended = appended_script(answer, self._head, self._admitted)
        if appended:
            fields = [_longer(field, len(appended)) for field in continued(fields)]
        # From here on, no other response can be sent.
        self._begun = True
        trails = answer.length == CHUNKED and self._takes_trailers()
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": fields, "trailers": trails}
        )
        if self._head.method == "HEAD" or answer.status in NO_CONTENT:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        # Sends the head now, because a stream may be silent for long.
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})
        with self._quiet:
            self._renew()
            while (piece := await upstream.read_piece()) is not None:
                if recording is not None:
                    recording.receive(piece)
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
                self._renew()
        if self._quiet.cancelled_caught:
            raise UpstreamTimeout(f"The preview sent no data for {self._idle_s:g} s.", timeout_s=self._idle_s)
        self._end_record(None)
        if appended:
            await self._send({"type": "http.response.body", "body": appended, "more_body": True})
        # The server reports a disconnect after the last message, and ``_upload`` then ends the exchange.
        with trio.move_on_after(_LAST_MESSAGE_S, shield=True):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            if trails:
                behind = trailer_fields(upstream.body.trailers)
                await self._send({"type": "http.response.trailers", "headers": behind, "more_trailers": False})


def _longer(field: Field, size: int) -> Field:
    name, value = field
    return (name, b"%d" % (int(value) + size)) if name == b"content-length" else field


def _framed_once(answer: Answer) -> list[Field]:
    """Return the response's fields with at most one length, as the server requires.

    Raises:
        UpstreamFailed: A response without content has an invalid length.
    """
    lengths = {value for name, value in answer.fields if name == b"content-length"}
    if not lengths:
        return answer.fields
    if len(lengths) > 1 or not all(map(LENGTH.fullmatch, lengths)):
        raise UpstreamFailed("The preview's response has an invalid or repeated Content-Length.")
    fields = [field for field in answer.fields if field[0] != b"content-length"]
    # RFC 9112 section 6.3: a length besides chunks is ignored and must not be forwarded.
    return fields if answer.length == CHUNKED else [*fields, (b"content-length", lengths.pop())]
