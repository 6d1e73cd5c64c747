"""The route that sends one request to a preview (endpoint call)."""

from __future__ import annotations

from functools import partial

import trio
from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.errors import (
    BodyTooLarge,
    DatabaseUnavailable,
    NoActivePreview,
    PreviewError,
    PreviewTokenRejected,
    PreviewUnavailable,
    TooLarge,
    UpstreamFailed,
    UpstreamTimeout,
)
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts import ANSWERS
from preview.http.contracts.content import folded
from preview.http.contracts.shared import LogRange
from preview.http.core.answers import json_answer
from preview.http.core.bodies import EnvelopeBody, V1EnvelopeBody
from preview.http.core.call_record import recorded_call
from preview.http.core.reading import read_json
from preview.http.identity import own_live
from preview.http.protocol.listening import request_resources
from preview.http.routes.calls.resolving import resolved
from preview.http.streams.call_stream import CallLimits, CallStreamBody
from preview.logs import Contract
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse, bytes_of, make_request
from preview.proxy.headers import TOKEN_HEADER
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.traffic import Origin, Who

# JSON may use six bytes for one byte of text (``\\u00ff``); the rest of the envelope needs space too.
_JSON_GROWTH = 6
_ENVELOPE_BYTES = 64 * 1024
# A process's end is noticed within milliseconds; its reason is known once its last output was read.
_EXIT_S = 0.1
_REASON_S = 1.0
_STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def proxy_routes(contract: Contract, running: Running) -> Blueprint:
    """Return the route of one contract."""
    shown = ANSWERS[contract].proxied
    routes = BackendRoutes(f"{contract.value}_proxy", running)

    @routes.post("/preview/request")
    async def request_(backend: Backend, generation_id: str) -> Response:
        """Send one request to the running preview.

        Any response of the preview, whatever its status, is a 200 of this service that contains that status. The
        preview token goes into the header `X-Preview-Token`. In `v1`, `stream` asks for Server-Sent Events: `head`,
        `piece` as the response comes, and `end`.
        """
        identity = await own_live(backend, generation_id)
        settings = backend.settings
        envelope = await _read_envelope(settings, contract)
        preview = await _running(backend, generation_id)
        # A guest has no preview token: the guest's own access can be taken back.
        if identity.guest is None:
            _check_token(preview, contract, envelope)
        else:
            backend.people.presence.audience(preview.id).requests.spend(identity.key)
        if isinstance(envelope, V1EnvelopeBody) and envelope.resolve:
            envelope = await resolved(backend, preview, envelope, is_guest=identity.guest is not None)
        asked = make_request(
            envelope.method,
            envelope.path,
            query=envelope.query,
            headers=envelope.headers.items(),
            body=envelope.body if envelope.encoding is None else bytes_of(envelope.body),
            body_limit_bytes=settings.proxy_body_bytes,
        )
        before = preview.log.last_seq
        who = Who.AGENT if request.headers.get("Authorization") else Who.OWNER
        if identity.guest is not None:
            who = Who.VIEWER
        if isinstance(envelope, V1EnvelopeBody) and envelope.stream:
            return await _stream(backend, preview, asked, identity, who)
        try:
            answer = await carry_call(backend.client, preview, asked, who=who)
        except (PreviewUnavailable, UpstreamFailed, UpstreamTimeout) as error:
            # Clients find the lines printed until then by this id.
            error.details["request_id"] = asked.request_id
            raise
        # By now, the pipe contains everything that the preview printed before its response.
        await preview.log.read_on()
        lines = range(before + 1, preview.log.last_seq + 1)
        return json_answer(shown.of(answer, asked.request_id, lines))

    return routes


async def _stream(
    backend: Backend, preview: LivePreview, asked: ProxyRequest, identity: Identity, who: Who
) -> Response:
    """Send the request, and respond with its response as it comes. An error before its head is an ordinary response.

    Raises:
        TooManyStreams: The user has the maximum number of streams.
        PreviewUnavailable, UpstreamFailed, UpstreamTimeout: There is no response.

    Cancellation: the connection to the preview is closed with the request; recorded as well.
    """
    if preview.address is None:
        raise _unavailable(_reason(preview))
    preview.touch()
    before = preview.log.last_seq
    settings, resources = backend.settings, request_resources()
    resources.enter_context(backend.slots.hold(identity.key))
    resources.enter_context(preview.streaming())
    outcome = resources.enter_context(recorded_call(preview, asked, who, Origin.CALL))
    # Until the stream says otherwise: the reader may leave at any moment.
    outcome.code = "cancelled"
    call = backend.client.stream(preview.address, asked, process=preview.record.pid)
    resources.callback(call.close)
    began = trio.current_time()
    try:
        await call.start(settings.proxy_timeout_s)
    except (PreviewUnavailable, UpstreamFailed, UpstreamTimeout) as error:
        failed = await _explained(preview, error)  # noqa: ASYNC120  a cancelled caller needs no explanation
        failed.details["request_id"] = asked.request_id
        outcome.code = failed.code
        raise failed from error
    outcome.first_byte_s = trio.current_time() - began
    outcome.status, outcome.headers = call.status, call.headers

    async def lines() -> object:
        await preview.log.read_on()
        shown = LogRange.of(range(before + 1, preview.log.last_seq + 1))
        return None if shown is None else shown.dumped()

    body = CallStreamBody(
        call,
        {"status_code": call.status, "headers": folded(call.headers), "request_id": asked.request_id},
        outcome,
        limits=CallLimits(
            settings.proxy_response_bytes, settings.proxy_stream_s, settings.keep_alive_s, identity.expires_at
        ),
        waits=backend.waits,
        explain=partial(_explained, preview),
        lines=lines,
    )
    response = Response(body, 200, _STREAM_HEADERS, content_type="text/event-stream")
    # Quart would end it after a minute, without a last chunk.
    response.timeout = None
    return response


async def _read_envelope(settings: Settings, contract: Contract) -> EnvelopeBody:
    limit = settings.proxy_body_bytes
    kind = V1EnvelopeBody if contract is Contract.V1 else EnvelopeBody
    try:
        return await read_json(request, kind, limit_bytes=limit * _JSON_GROWTH + _ENVELOPE_BYTES)
    except TooLarge as error:
        raise BodyTooLarge(f"At most {limit} bytes may be sent to a preview; send less.", limit_bytes=limit) from error


async def _running(backend: Backend, generation_id: str) -> LivePreview:
    """Return the generation's running preview.

    Raises:
        PreviewUnavailable: No preview runs; the message gives the reason of the last one's end, if known.

    Cancellation: no state changes.
    """
    preview = backend.previews.active(generation_id)
    if preview is None:
        raise _unavailable(await _last_reason(backend, generation_id))
    if preview.address is None:
        raise _unavailable(_reason(preview))
    return preview


async def _last_reason(backend: Backend, generation_id: str) -> str | None:
    try:
        record = await backend.previews.latest(generation_id)
    except (NoActivePreview, DatabaseUnavailable):
        return None
    return None if record.is_active else record.reason


def _reason(preview: LivePreview) -> str | None:
    return None if preview.outcome is None else preview.outcome.reason


def _unavailable(reason: str | None) -> PreviewUnavailable:
    if reason is None:
        return PreviewUnavailable("The preview is not running; launch it, or wait until it is healthy.")
    return PreviewUnavailable(f"The preview is not running any more: {_shown(reason)}. Launch it again.")


def _shown(reason: str) -> str:
    return reason.removeprefix("stopped: ").rstrip(".")


async def carry_call(
    client: PreviewClient, preview: LivePreview, asked: ProxyRequest, *, who: Who, origin: Origin = Origin.CALL
) -> ProxyResponse:
    """Send a request to a preview, record it in full, and log it in the service's own log.

    Args:
        client: Sends it.
        preview: The preview.
        asked: The request.
        who: The sender, for the record.
        origin: The reason, for the record.

    Raises:
        PreviewUnavailable, UpstreamFailed, UpstreamTimeout: There is no complete response.

    Cancellation: as for ``PreviewClient.send``; recorded as well.
    """
    with recorded_call(preview, asked, who, origin) as outcome:
        began = trio.current_time()
        try:
            answer = await _send(client, preview, asked)
        except PreviewError as error:
            outcome.code = error.code
            raise
        # The client reports one duration; where it was spent is not known.
        outcome.first_byte_s = trio.current_time() - began
        outcome.code, outcome.status, outcome.headers = None, answer.status, answer.headers
        outcome.add(answer.body)
    return answer


async def carry_check(client: PreviewClient, preview: LivePreview, asked: ProxyRequest) -> ProxyResponse:
    """Send a request of a check, as ``carry_call`` does. Cancellation: as there."""
    return await carry_call(client, preview, asked, who=Who.SERVICE, origin=Origin.CHECK)


async def _send(client: PreviewClient, preview: LivePreview, asked: ProxyRequest) -> ProxyResponse:
    """Send like ``PreviewClient.send``; if the preview's end cut the response off, raise an error with its reason.

    Cancellation: as for ``PreviewClient.send``.
    """
    if preview.address is None:
        raise _unavailable(_reason(preview))
    preview.touch()
    try:
        return await client.send(preview.address, asked, process=preview.record.pid)
    except (PreviewUnavailable, UpstreamFailed) as error:
        explained = await _explained(preview, error)  # noqa: ASYNC120  a cancelled caller needs no explanation
        if explained is error:
            raise
        raise explained from error


async def _explained(preview: LivePreview, failed: PreviewError) -> PreviewError:
    """Return the error, with the reason of the preview's end if that was its cause. Cancellation: nothing changes."""
    if not isinstance(failed, PreviewUnavailable | UpstreamFailed) or "limit_bytes" in failed.details:
        return failed
    with trio.move_on_after(_EXIT_S):
        await preview.over.wait()
    if preview.exit is not None or preview.outcome is not None:
        with trio.move_on_after(_REASON_S):
            await preview.over.wait()
    reason = _reason(preview)
    if reason is None:
        return failed
    return type(failed)(f"The preview ended before it had answered: {_shown(reason)}.", **failed.details)


def _check_token(preview: LivePreview, contract: Contract, envelope: EnvelopeBody) -> None:
    """Check the token in the service's own header, or (``plan``) in the envelope."""
    token = request.headers.get(TOKEN_HEADER)
    if token is None and contract is Contract.PLAN:
        token = next((value for name, value in envelope.headers.items() if name.lower() == TOKEN_HEADER), None)
    if token is None:
        raise PreviewTokenRejected("The preview token is missing; send the one of the launch as X-Preview-Token.")
    if not preview.accept_token(token):
        raise PreviewTokenRejected("The preview token is wrong or has expired; launch again for a new one.")
