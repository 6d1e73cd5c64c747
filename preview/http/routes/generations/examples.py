"""Routes of the example projects."""

from __future__ import annotations

from functools import partial

import trio
from quart import Blueprint, Response
from werkzeug.exceptions import NotFound

from preview.generations import VersionNote
from preview.generations.examples import EXAMPLES, read_example
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.generations import ExampleList, ExampleShape, GenerationShape
from preview.http.core.answers import json_answer, link
from preview.http.identity import require_identity


def example_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("examples", running)

    @routes.get("/examples")
    async def list_examples(backend: Backend) -> Response:
        """Return the example projects that can be added to your own."""
        await require_identity(backend)
        items = [ExampleShape.model_validate(one) for one in EXAMPLES.values()]
        return json_answer(ExampleList(items=items if backend.service.library else [], next=None))

    @routes.post("/examples/<name>")
    async def add_example(backend: Backend, name: str) -> Response:
        """Add an example project to your generations. Nothing of it runs until you launch it."""
        identity = await require_identity(backend)
        library, example = backend.service.library, EXAMPLES.get(name)
        if library is None or example is None:
            raise NotFound
        made = await library.create(
            user_id=identity.user.id,
            project_id=None,
            name=example.title,
            files=await trio.to_thread.run_sync(partial(read_example, example.name)),
            note=VersionNote(identity.user.id, "push", "Example"),
        )
        return json_answer(
            GenerationShape.model_validate(made), 201, {"Location": link(f"/api/v1/generations/{made.id}")}
        )

    return routes
