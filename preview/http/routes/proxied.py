"""One request through the service to the preview."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.errors import BodyTooLarge, PreviewTokenRejected, PreviewUnavailable, TooLarge
from preview.http.answers import json_answer
from preview.http.backend import backend
from preview.http.bodies import EnvelopeBody
from preview.http.contracts import VIEWS
from preview.http.identity import own_generation
from preview.http.reading import read_json
from preview.logs import Contract
from preview.proxy import make_request
from preview.proxy.headers import TOKEN_HEADER
from preview.settings import Settings
from preview.supervisor import ActivePreview

__all__ = ["proxy_routes"]

# JSON may write one byte of text with six (``\\u00ff``), and the rest of the envelope needs room too.
_JSON_GROWTH = 6
_ENVELOPE_BYTES = 64 * 1024


def proxy_routes(contract: Contract) -> Blueprint:
    """The route in one document's words."""
    view = VIEWS[contract]
    routes = Blueprint(f"{contract.value}_proxy", __name__)

    @routes.post("/preview/request")
    async def request_(generation_id: str) -> Response:
        """Send one request to the running preview.

        Any status of the preview itself is a 200 of ours with that status inside. The preview token goes into the
        header `X-Preview-Token`.
        """
        await own_generation(generation_id)
        settings = backend().settings
        envelope = await _read_envelope(settings)
        preview = _running(generation_id)
        _check_token(preview, contract, envelope)
        asked = make_request(
            envelope.method,
            envelope.path,
            query=envelope.query,
            headers=envelope.headers.items(),
            body=envelope.body,
            body_limit_bytes=settings.proxy_body_bytes,
        )
        address = preview.address
        if address is None:
            raise _unavailable()
        preview.touch()
        return json_answer(view.proxied(await backend().client.send(address, asked)))

    return routes


async def _read_envelope(settings: Settings) -> EnvelopeBody:
    limit = settings.proxy_body_bytes
    try:
        return await read_json(request, EnvelopeBody, limit_bytes=limit * _JSON_GROWTH + _ENVELOPE_BYTES)
    except TooLarge as error:
        raise BodyTooLarge(f"At most {limit} bytes may be sent to a preview; send less.", limit_bytes=limit) from error


def _running(generation_id: str) -> ActivePreview:
    preview = backend().previews.active(generation_id)
    if preview is None or preview.address is None:
        raise _unavailable()
    return preview


def _unavailable() -> PreviewUnavailable:
    return PreviewUnavailable("The preview is not running; launch it, or wait until it is healthy.")


def _check_token(preview: ActivePreview, contract: Contract, envelope: EnvelopeBody) -> None:
    """The token in our own header, or (``plan``) among the envelope's."""
    token = request.headers.get(TOKEN_HEADER)
    if token is None and contract is Contract.PLAN:
        token = next((value for name, value in envelope.headers.items() if name.lower() == TOKEN_HEADER), None)
    if token is None:
        raise PreviewTokenRejected("The preview token is missing; send the one of the launch as X-Preview-Token.")
    if not preview.accept_token(token):
        raise PreviewTokenRejected("The preview token is wrong or has expired; launch again for a new one.")
