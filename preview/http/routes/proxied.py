"""The route that sends one request to a preview (endpoint call)."""

from __future__ import annotations

from collections.abc import Sequence

import trio
from quart import Blueprint, Response, request

from preview.core.clock import now_ms
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
from preview.http.core.answers import json_answer
from preview.http.core.bodies import EnvelopeBody
from preview.http.core.reading import read_json
from preview.http.identity import own_live
from preview.logs import Contract
from preview.proxy import PreviewClient, ProxyRequest, ProxyResponse, bytes_of, make_request
from preview.proxy.headers import TOKEN_HEADER
from preview.settings import Settings
from preview.supervisor import LivePreview, log_call
from preview.traffic import BODY_BYTES, Draft, DraftMessage, Origin, Who

# JSON may use six bytes for one byte of text (``\\u00ff``); the rest of the envelope needs space too.
_JSON_GROWTH = 6
_ENVELOPE_BYTES = 64 * 1024
# A process's end is noticed within milliseconds; its reason is known once its last output was read.
_EXIT_S = 0.1
_REASON_S = 1.0


def proxy_routes(contract: Contract, running: Running) -> Blueprint:
    """Return the route of one contract."""
    shown = ANSWERS[contract].proxied
    routes = BackendRoutes(f"{contract.value}_proxy", running)

    @routes.post("/preview/request")
    async def request_(backend: Backend, generation_id: str) -> Response:
        """Send one request to the running preview.

        Any response of the preview, whatever its status, is a 200 of this service that contains that status. The
        preview token goes into the header `X-Preview-Token`.
        """
        identity = await own_live(backend, generation_id)
        settings = backend.settings
        envelope = await _read_envelope(settings)
        preview = await _running(backend, generation_id)
        # A guest has no preview token: the guest's own access can be taken back.
        if identity.guest is None:
            _check_token(preview, contract, envelope)
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


async def _read_envelope(settings: Settings) -> EnvelopeBody:
    limit = settings.proxy_body_bytes
    try:
        return await read_json(request, EnvelopeBody, limit_bytes=limit * _JSON_GROWTH + _ENVELOPE_BYTES)
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
    began = trio.current_time()
    first_line = preview.log.last_seq + 1
    answer: ProxyResponse | None = None
    code: str | None = "internal_error"
    preview.traffic.direct.carried(asked.request_id.encode())
    try:
        answer = await _send(client, preview, asked)
        code = None
    except PreviewError as error:
        code = error.code
        raise
    except trio.Cancelled:
        code = "cancelled"
        raise
    finally:
        elapsed_s = trio.current_time() - began
        if not preview.traffic.is_off:
            preview.traffic.record(_draft(preview, asked, answer, code, elapsed_s, first_line, who, origin))
        log_call(
            preview.record,
            request_id=asked.request_id,
            method=asked.method,
            path=asked.path,
            status=None if answer is None else answer.status,
            code=code,
            elapsed_s=elapsed_s,
        )
    return answer


async def carry_check(client: PreviewClient, preview: LivePreview, asked: ProxyRequest) -> ProxyResponse:
    """Send a request of a check, as ``carry_call`` does. Cancellation: as there."""
    return await carry_call(client, preview, asked, who=Who.SERVICE, origin=Origin.CHECK)


def _draft(
    preview: LivePreview,
    asked: ProxyRequest,
    answer: ProxyResponse | None,
    code: str | None,
    elapsed_s: float,
    first_line: int,
    who: Who,
    origin: Origin,
) -> Draft:
    """Return the record of a call: headers and bodies too, as the caller has them anyway."""
    sent = asked.body or b""
    received = b"" if answer is None else answer.body
    # The client reports one duration; where it was spent is not known.
    first_byte = -1.0 if answer is None else elapsed_s
    return Draft(
        asked.request_id.encode(),
        origin,
        who,
        asked.method,
        asked.target,
        0 if answer is None else answer.status,
        code,
        now_ms(),
        0.0,
        -1.0,
        first_byte,
        elapsed_s,
        len(sent),
        len(received),
        preview.restarts,
        first_line,
        _message(asked.headers, sent),
        None if answer is None else _message(answer.headers, received),
    )


def _message(headers: Sequence[tuple[str, str]], body: bytes) -> DraftMessage:
    fields = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]
    size = sum(len(name) + len(value) for name, value in fields)
    return DraftMessage(fields, body[:BODY_BYTES], len(body), size)


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
        failed: PreviewUnavailable | UpstreamFailed = error
    if "limit_bytes" in failed.details:
        raise failed
    with trio.move_on_after(_EXIT_S):
        await preview.over.wait()
    if preview.exit is not None or preview.outcome is not None:
        with trio.move_on_after(_REASON_S):
            await preview.over.wait()
    reason = _reason(preview)
    if reason is None:
        raise failed
    raise type(failed)(f"The preview ended before it had answered: {_shown(reason)}.", **failed.details) from failed


def _check_token(preview: LivePreview, contract: Contract, envelope: EnvelopeBody) -> None:
    """Check the token in the service's own header, or (``plan``) in the envelope."""
    token = request.headers.get(TOKEN_HEADER)
    if token is None and contract is Contract.PLAN:
        token = next((value for name, value in envelope.headers.items() if name.lower() == TOKEN_HEADER), None)
    if token is None:
        raise PreviewTokenRejected("The preview token is missing; send the one of the launch as X-Preview-Token.")
    if not preview.accept_token(token):
        raise PreviewTokenRejected("The preview token is wrong or has expired; launch again for a new one.")
