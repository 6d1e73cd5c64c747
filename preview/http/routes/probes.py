"""Routes of probes, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

import json

from quart import Blueprint, Response, request

from preview.auth import Identity
from preview.errors import ProbeNotFound
from preview.generations import Generation
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.probe import ProbeShape
from preview.http.core.answers import json_answer, no_content
from preview.http.core.bodies import ProbeBody
from preview.http.core.reading import read_json
from preview.http.identity import own_generation
from preview.http.protocol.listening import request_resources
from preview.http.streams.probe_stream import ProbeStreamBody
from preview.replay.probe import ProbeRequest, ProbeResult

_BODY_BYTES = 256 * 1024
_EVENTS = "text/event-stream"
_STREAM_HEADERS = {"Cache-Control": "no-cache", "Vary": "Accept", "X-Accel-Buffering": "no"}


def probe_routes(running: Running) -> Blueprint:
    """Return the routes that start, show and end probes."""
    routes = BackendRoutes("probes", running)

    @routes.post("/preview/probe")
    async def start(backend: Backend, generation_id: str) -> Response:
        """Start a probe: valid and unusual requests to a trial preview with a copy of the data.

        If a probe of the generation runs, it goes on, and is answered.
        """
        identity, generation = await own_generation(backend, generation_id)
        body = await read_json(request, ProbeBody, limit_bytes=_BODY_BYTES)
        asked = ProbeRequest(body.seconds, tuple(body.endpoints))
        return json_answer(ProbeShape.of(backend.prober.start(identity.user, generation, asked)), 202)

    @routes.get("/preview/probe")
    async def last(backend: Backend, generation_id: str) -> Response:
        """Return the running probe with what it has found so far, or the last one.

        With `Accept: text/event-stream` as Server-Sent Events: `probe` at first, after each change and at the end, then
        `end`; or `expired`.
        """
        identity, generation = await own_generation(backend, generation_id)
        result = await backend.prober.last(generation)
        if result is None:
            raise ProbeNotFound("This generation was never probed; start a probe first.")
        if request.accept_mimetypes.best_match(["application/json", _EVENTS]) == _EVENTS:
            return _stream(backend, identity, generation, result)
        return json_answer(ProbeShape.of(result), headers={"Vary": "Accept"})

    @routes.delete("/preview/probe")
    async def stop(backend: Backend, generation_id: str) -> Response:
        """End the running probe, if there is one; it keeps what it has found."""
        _, generation = await own_generation(backend, generation_id)
        await backend.prober.stop(generation)
        return no_content()

    return routes


def _stream(backend: Backend, identity: Identity, generation: Generation, result: ProbeResult) -> Response:
    over = None if result.finished_at else backend.prober.over(generation)
    body: bytes | ProbeStreamBody = b""
    if request.method != "HEAD":
        request_resources().enter_context(backend.slots.hold(identity.key))
        body = ProbeStreamBody(
            lambda: json.dumps(ProbeShape.of(result).dumped()),
            over,
            waits=backend.waits,
            expires_at=identity.expires_at,
            keep_alive_s=backend.settings.keep_alive_s,
        )
    response = Response(body, 200, _STREAM_HEADERS, content_type=_EVENTS)
    # Quart would end it after a minute, without a last chunk.
    response.timeout = None
    return response
