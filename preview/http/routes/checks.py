"""Routes of checks, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.errors import InvalidRequest
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.replay import ChecksRunShape, ChecksShape
from preview.http.core.answers import json_answer
from preview.http.core.reading import read_json
from preview.http.core.replay_bodies import ChecksBody, ChecksRunBody, SaveCheckBody
from preview.http.identity import own_generation
from preview.http.routes.replay import find_steps, record_number, sender
from preview.replay.checks import check_of, run_checks
from preview.replay.checks.file import check_file
from preview.traffic import Origin

_BODY_BYTES = 512 * 1024


def check_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("checks", running)

    @routes.get("/preview/checks")
    async def read(backend: Backend, generation_id: str) -> Response:
        """Return the generation's checks, from its file `preview.checks.toml`, and their last run."""
        await own_generation(backend, generation_id)
        file, text = await backend.checks.read(generation_id)
        return json_answer(ChecksShape.of(file, text, backend.checks.last(generation_id)))

    @routes.put("/preview/checks")
    async def write(backend: Backend, generation_id: str) -> Response:
        """Replace the generation's checks. They are written to its file; the preview is not reloaded."""
        _, generation = await own_generation(backend, generation_id)
        body = await read_json(request, ChecksBody, limit_bytes=_BODY_BYTES)
        file = check_file(body.checks, body.ignore)
        text = await backend.checks.write(generation, file)
        return json_answer(ChecksShape.of(file, text, backend.checks.last(generation_id)))

    @routes.post("/preview/checks/run")
    async def run(backend: Backend, generation_id: str) -> Response:
        """Run the generation's checks. Those that may change data run on a trial, as all others then."""
        identity, generation = await own_generation(backend, generation_id)
        body = await read_json(request, ChecksRunBody, limit_bytes=_BODY_BYTES)
        file, _ = await backend.checks.read(generation_id)
        if not file.checks:
            raise InvalidRequest("The generation has no check; save a recorded request as one first.")
        async with backend.turns.take(identity.user.id):
            found = await run_checks(
                backend.service,
                identity.user,
                generation,
                file.checks,
                sender(backend, Origin.CHECK),
                on=body.on,
                allow_changes=body.allow_changes,
            )
        return json_answer(ChecksRunShape.of(backend.checks.note(generation_id, found)))

    @routes.post("/preview/requests/<record:number>/check")
    async def save(backend: Backend, generation_id: str, number: str) -> Response:
        """Save a recorded request as a check: it expects what the answer had, and of values that change, their form."""
        _, generation = await own_generation(backend, generation_id)
        body = await read_json(request, SaveCheckBody, limit_bytes=_BODY_BYTES)
        [step] = await find_steps(backend, generation, [record_number(number)], None, [], with_secrets=False)
        if step.problem is not None:
            raise InvalidRequest(step.problem, number=number)
        file, _ = await backend.checks.read(generation_id)
        file = file.with_check(check_of(step, body.name))
        text = await backend.checks.write(generation, file)
        return json_answer(ChecksShape.of(file, text, backend.checks.last(generation_id)), 201)

    return routes
