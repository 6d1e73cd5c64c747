"""How a generation would be started (``v1`` only)."""

from __future__ import annotations

from functools import partial

import trio
from quart import Blueprint, Response

from preview.detection import describe_plan, detect
from preview.http.backend import backend
from preview.http.core.answers import json_answer
from preview.http.core.generation_files import open_files
from preview.http.identity import own_generation


def plan_routes() -> Blueprint:
    """The route, relative to ``/api/v1``."""
    routes = Blueprint("plans", __name__)
    # Reading sources is work for a processor: more at a time would only slow each other down.
    readers = trio.CapacityLimiter(2)

    @routes.get("/generations/<generation_id>/plan")
    async def plan(generation_id: str) -> Response:
        """How the generation would be started, and why.

        Decided from its files and its `preview.toml`; nothing is run. Values of secrets are left out.
        """
        _, generation = await own_generation(generation_id)
        async with open_files(backend().service.generations, generation.id) as directory:
            decided = await trio.to_thread.run_sync(partial(detect, directory), limiter=readers)
        return json_answer(describe_plan(decided))

    return routes
