"""A WebSocket to a preview on the ASGI path: the handshake, then messages in both directions until one side closes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import trio

from preview.errors import PreviewError, UpstreamTimeout
from preview.http.browser.scopes import ExchangeApp, Receive, Scope, Send
from preview.proxy.admission import Admitted, OwnAnswer, RequestHead
from preview.proxy.carriage import answer_fields, carried_fields
from preview.proxy.exchange import SWITCHING
from preview.proxy.http1 import Field
from preview.proxy.message_socket import Accepted, Closed, MessageSocket, Rejected, open_message_socket
from preview.proxy.recording import recording_of
from preview.traffic import Origin

# The client is gone: RFC 6455 section 7.4.1 has a code for an endpoint that leaves, none for a silent one.
_GOING_AWAY = 1001
_NO_CODES = frozenset({1005, 1006, 1015})
_GOODBYE_S = 1.0
# Each server and client writes these fields itself.
_OF_HANDSHAKE = b"sec-websocket-"


async def serve_socket(
    app: ExchangeApp,
    scope: Scope,
    head: RequestHead,
    outcome: Admitted | OwnAnswer,
    receive: Receive,
    send: Send,
    *,
    arrived_at: float,
) -> None:
    """Serve one WebSocket scope: forward it, or refuse the handshake with a response.

    Args:
        app: Provides the access gate and the backend.
        scope: An ASGI scope.
        head: The handshake.
        outcome: The result of the access check.
        receive: ASGI.
        send: ASGI.
        arrived_at: Arrival of the handshake, by ``time.monotonic``.

    Cancellation: the connection to the preview is closed.
    """
    await receive()  # websocket.connect
    if isinstance(outcome, OwnAnswer):
        await _refuse(scope, outcome, send)
        return
    limit = app.settings.websocket_message_bytes
    try:
        with outcome.hold():
            async with open_message_socket(outcome.address, limit) as upstream:
                answered = await _shake_hands(app, scope, head, outcome, upstream, arrived_at)
                if isinstance(answered, Rejected):
                    await _refuse(scope, OwnAnswer(answered.status, answered.fields, answered.body), send)
                    return
                await send(
                    {"type": "websocket.accept", "subprotocol": answered.subprotocol, "headers": answered.fields}
                )
                await _carry(app, outcome, upstream, receive, send)
    except PreviewError as error:
        await _refuse(scope, await app.access_gate.explain(head, outcome, error), send)


async def _shake_hands(
    app: ExchangeApp,
    scope: Scope,
    head: RequestHead,
    admitted: Admitted,
    upstream: MessageSocket,
    arrived_at: float,
) -> Accepted | Rejected:
    fields, number = carried_fields(head, admitted)
    host = next((value for name, value in fields if name == b"host"), b"")
    more = [field for field in fields if field[0] != b"host" and not field[0].startswith(_OF_HANDSHAKE)]
    limit_s = app.settings.proxy_timeout_s
    recording = recording_of(admitted, head.method, head.target, number, arrived_at, monotonic())
    error: str | None = "upstream_timeout"
    try:
        with trio.move_on_after(limit_s) as patience:
            answered = await upstream.shake_hands(
                host, admitted.target_of(head.target), more, scope.get("subprotocols") or ()
            )
            error = None
    except PreviewError as failure:
        error = failure.code
        raise
    finally:
        if recording is not None:
            recording.origin, recording.fields = Origin.SOCKET, fields
            if error is None:
                recording.first_byte_at = monotonic()
                recording.status = answered.status if isinstance(answered, Rejected) else SWITCHING
            recording.end(error)
    if patience.cancelled_caught:
        raise UpstreamTimeout(f"The preview did not answer the WebSocket within {limit_s:g} s.", timeout_s=limit_s)
    returned = answer_fields(_lowered(answered.fields), head, admitted, number)
    if isinstance(answered, Rejected):
        return Rejected(answered.status, [one for one in returned if one[0] != b"content-length"], answered.body)
    return Accepted(answered.subprotocol, [one for one in returned if not one[0].startswith(_OF_HANDSHAKE)])


def _lowered(fields: list[Field]) -> list[Field]:
    return [(bytes(name).lower(), bytes(value)) for name, value in fields]


async def _carry(app: ExchangeApp, admitted: Admitted, upstream: MessageSocket, receive: Receive, send: Send) -> None:
    """Carry messages in both directions; when one side closes, the other gets its code."""
    quiet, revoked = _Quiet(app.settings.proxy_idle_timeout_s), trio.Event()
    unwatch = None if admitted.watch is None else admitted.watch(revoked.set)
    try:
        await _carry_until(app, upstream, receive, send, quiet, revoked)
    finally:
        if unwatch is not None:
            unwatch()


async def _carry_until(
    app: ExchangeApp, upstream: MessageSocket, receive: Receive, send: Send, quiet: _Quiet, revoked: trio.Event
) -> None:
    async with trio.open_nursery() as nursery:

        async def until(work: Callable[[], Awaitable[None]]) -> None:
            await work()
            nursery.cancel_scope.cancel()

        nursery.start_soon(until, lambda: _outwards(upstream, send, quiet))
        nursery.start_soon(until, lambda: _inwards(upstream, receive, quiet))
        nursery.start_soon(until, lambda: _goodbye(app, upstream, send))
        nursery.start_soon(until, lambda: _end_of_quiet(quiet, upstream, send))
        nursery.start_soon(until, lambda: _revocation(revoked, upstream, send))


class _Quiet:
    """Time limit for silence in both directions."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.scope = trio.CancelScope()
        self.renew()

    def renew(self) -> None:
        """Restart the time limit after a message."""
        self.scope.deadline = trio.current_time() + self.limit_s


async def _outwards(upstream: MessageSocket, send: Send, quiet: _Quiet) -> None:
    while not isinstance(message := await upstream.receive(), Closed):
        quiet.renew()
        kind = "text" if isinstance(message, str) else "bytes"
        await send({"type": "websocket.send", kind: message})
    await send({"type": "websocket.close", "code": message.code, "reason": message.reason})


async def _inwards(upstream: MessageSocket, receive: Receive, quiet: _Quiet) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        quiet.renew()
        text = message.get("text")
        await upstream.send(text if text is not None else bytes(message.get("bytes") or b""))
    code = int(message.get("code") or _GOING_AWAY)
    with trio.move_on_after(_GOODBYE_S):
        await upstream.close(_GOING_AWAY if code in _NO_CODES else code, str(message.get("reason") or ""))


async def _goodbye(app: ExchangeApp, upstream: MessageSocket, send: Send) -> None:
    """Close both sides when the service shuts down."""
    await app.backend.service.draining.wait()
    await _close_both(upstream, send, "the service is shutting down")


async def _revocation(revoked: trio.Event, upstream: MessageSocket, send: Send) -> None:
    await revoked.wait()
    await _close_both(upstream, send, "the token that opened this was revoked")


async def _end_of_quiet(quiet: _Quiet, upstream: MessageSocket, send: Send) -> None:
    with quiet.scope:
        await trio.sleep_forever()
    await _close_both(upstream, send, f"no message for {quiet.limit_s:g} s")


async def _close_both(upstream: MessageSocket, send: Send, reason: str) -> None:
    with trio.move_on_after(_GOODBYE_S):
        await upstream.close(_GOING_AWAY)
        await send({"type": "websocket.close", "code": _GOING_AWAY, "reason": reason})


async def _refuse(scope: Scope, answer: OwnAnswer, send: Send) -> None:
    """Refuse the handshake, with a response if the server supports it."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _GOING_AWAY})
        return
    fields: list[tuple[bytes, bytes]] = [*answer.fields, (b"content-length", str(len(answer.body)).encode())]
    start: dict[str, Any] = {"type": "websocket.http.response.start", "status": answer.status, "headers": fields}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": answer.body, "more_body": False})
