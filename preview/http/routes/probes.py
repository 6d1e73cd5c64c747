"""Routes of probes, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.errors import ProbeNotFound
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.probe import ProbeShape
from preview.http.core.answers import json_answer, no_content
from preview.http.core.bodies import ProbeBody
from preview.http.core.reading import read_json
from preview.http.identity import own_generation
from preview.replay.probe import ProbeRequest

_BODY_BYTES = 256 * 1024


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
        """Return the running probe with what it has found so far, or the last one."""
        _, generation = await own_generation(backend, generation_id)
        result = await backend.prober.last(generation)
        if result is None:
            raise ProbeNotFound("This generation was never probed; start a probe first.")
        return json_answer(ProbeShape.of(result))

    @routes.delete("/preview/probe")
    async def stop(backend: Backend, generation_id: str) -> Response:
        """End the running probe, if there is one; it keeps what it has found."""
        _, generation = await own_generation(backend, generation_id)
        await backend.prober.stop(generation)
        return no_content()

    return routes
