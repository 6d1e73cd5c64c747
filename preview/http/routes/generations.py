"""The generations that this service keeps itself."""

from __future__ import annotations

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from preview.errors import AlreadyRunning
from preview.generations import GenerationLibrary
from preview.http.backend import backend
from preview.http.contracts import v1
from preview.http.core.answers import json_answer, link, no_content
from preview.http.core.bodies import PageQuery
from preview.http.core.reading import checked_query
from preview.http.core.uploads import read_upload
from preview.http.identity import own_generation, require_identity


def generation_routes() -> Blueprint:
    """The routes, relative to ``/api/v1``."""
    routes = Blueprint("generations", __name__)

    @routes.post("/generations")
    async def create_generation() -> Response:
        """Keep a generation: files as JSON, or a zip or tar.gz as `multipart/form-data`."""
        identity = await require_identity()
        library = _library()
        upload = await read_upload(request, backend().settings, backend().service.reader)
        made = await library.create(
            user_id=identity.user.id, project_id=upload.project_id, name=upload.name, files=upload.files
        )
        return json_answer(v1.generation(made), 201, {"Location": link(f"/api/v1/generations/{made.id}")})

    @routes.get("/generations")
    async def list_generations() -> Response:
        """Your generations, newest first, by pages."""
        identity = await require_identity()
        query = checked_query(request, PageQuery)
        found, following = await _library().list_for_user(identity.user.id, cursor=query.cursor, limit=query.limit)
        return json_answer({"generations": [v1.generation(one) for one in found], "next_cursor": following})

    @routes.get("/generations/<generation_id>")
    async def get_generation(generation_id: str) -> Response:
        """One of your generations, with its files' paths and sizes."""
        _, generation = await own_generation(generation_id)
        return json_answer(v1.generation(generation, await _library().file_list(generation_id)))

    @routes.delete("/generations/<generation_id>")
    async def delete_generation(generation_id: str) -> Response:
        """Delete a generation, its previews and their logs; stop its preview first."""
        identity, _ = await own_generation(generation_id)
        library, active = _library(), backend().previews.active(generation_id)
        if active is not None:
            raise AlreadyRunning(
                f"The generation {generation_id!r} has the preview {active.record.id}; stop it first.",
                preview_id=active.record.id,
                generation_id=generation_id,
            )
        await library.delete(generation_id)
        await backend().previews.forget(generation_id, identity.user.id)
        return no_content()

    return routes


def _library() -> GenerationLibrary:
    library = backend().service.library
    if library is None:
        raise NotFound  # a host that keeps its generations itself has its own way to manage them
    return library
