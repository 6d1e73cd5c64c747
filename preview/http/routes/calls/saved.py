"""Requests that are saved for a generation and their variables, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.errors import GenerationReadOnly, InvalidRequest
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.people.saved import (
    RequestVariableBody,
    RequestVariableList,
    RequestVariableShape,
    SavedBody,
    SavedList,
    SavedShape,
)
from preview.http.core.answers import json_answer, no_content
from preview.http.core.reading import read_json
from preview.http.identity import own_generation
from preview.together import RequestVariables, SavedRequests
from preview.together.saved import MOST_REQUEST_BYTES
from preview.together.variables import MOST_VALUE_CHARACTERS, is_name

# JSON may use six bytes for one character.
_BODY_BYTES = 6 * MOST_REQUEST_BYTES
_VALUE_BYTES = 12 * MOST_VALUE_CHARACTERS + 1024


def saved_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("saved", running)

    @routes.get("/preview/saved")
    async def list_saved(backend: Backend, generation_id: str) -> Response:
        """Return the saved requests of a generation, by name. Guests who may send requests see them too."""
        saved = await _saved_of(backend, generation_id)
        items = [SavedShape.of(one) for one in await saved.list(generation_id)]
        return json_answer(SavedList(items=items, next=None))

    @routes.post("/preview/saved")
    async def save_request(backend: Backend, generation_id: str) -> Response:
        """Save a request under a name; one of the same name is replaced."""
        saved = await _saved_of(backend, generation_id)
        body = await read_json(request, SavedBody, limit_bytes=_BODY_BYTES)
        return json_answer(SavedShape.of(await saved.save(generation_id, body.name, body.request())))

    @routes.delete("/preview/saved/<saved_id>")
    async def delete_saved(backend: Backend, generation_id: str, saved_id: str) -> Response:
        """Delete a saved request."""
        await (await _saved_of(backend, generation_id)).delete(generation_id, saved_id)
        return no_content()

    @routes.get("/preview/variables")
    async def list_variables(backend: Backend, generation_id: str) -> Response:
        """Return the variables of requests, by name; secrets without values. Guests who may send requests see them."""
        variables = await _variables_of(backend, generation_id)
        items = [RequestVariableShape.of(one) for one in await variables.list(generation_id)]
        return json_answer(RequestVariableList(items=items, next=None))

    @routes.put("/preview/variables/<name>")
    async def set_variable(backend: Backend, generation_id: str, name: str) -> Response:
        """Set a variable: `{{name}}` in a request with `resolve` stands for its value."""
        variables = await _variables_of(backend, generation_id)
        body = await read_json(request, RequestVariableBody, limit_bytes=_VALUE_BYTES)
        if not is_name(name):
            raise InvalidRequest(
                "A variable's name begins with a letter or '_'; use letters, digits, '.', '_' and '-', 64 at most.",
                field="name",
            )
        return json_answer(
            RequestVariableShape.of(await variables.set(generation_id, name, body.value, is_secret=body.secret))
        )

    @routes.delete("/preview/variables/<name>")
    async def delete_variable(backend: Backend, generation_id: str, name: str) -> Response:
        """Delete a variable of requests."""
        await (await _variables_of(backend, generation_id)).delete(generation_id, name)
        return no_content()

    return routes


async def _variables_of(backend: Backend, generation_id: str) -> RequestVariables:
    """Return the variables, for the caller's generation. Raises as ``_saved_of``. Cancellation: nothing changes."""
    await _saved_of(backend, generation_id)
    return backend.people.variables


async def _saved_of(backend: Backend, generation_id: str) -> SavedRequests:
    """Return the book of saved requests, for the caller's generation.

    Raises:
        Unauthenticated, Forbidden, GenerationNotFound: See ``own_generation``.
        GenerationReadOnly: The application around this service keeps the generations.

    Cancellation: nothing changes.
    """
    await own_generation(backend, generation_id)
    if backend.edits is None:
        raise GenerationReadOnly("Another application keeps this generation; save requests there.")
    return backend.people.saved
