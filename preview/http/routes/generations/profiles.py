"""Routes of a preview's profile, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.core.lifecycle import State
from preview.errors import NoActivePreview
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.history.profiles import ProfileBody, ProfileShape
from preview.http.core.answers import json_answer
from preview.http.core.reading import read_json
from preview.http.identity import own_generation
from preview.people_errors import ProfileNotFound, ProfileUnavailable
from preview.supervisor import LivePreview

_BODY_BYTES = 4096


def profile_routes(running: Running) -> Blueprint:
    """Return the routes that start and show a profile."""
    routes = BackendRoutes("profiles", running)

    @routes.post("/preview/profile")
    async def start(backend: Backend, generation_id: str) -> Response:
        """Measure for some seconds which functions of the running preview the time goes to.

        If a measurement runs, it goes on, and is answered. Send requests to the preview meanwhile.
        """
        await own_generation(backend, generation_id)
        body = await read_json(request, ProfileBody, limit_bytes=_BODY_BYTES)
        preview = _live(backend, generation_id)
        profile = None if preview.control is None else preview.control.profile(body.seconds)
        if profile is None:
            raise ProfileUnavailable(
                "The functions of this preview cannot be measured: its server was started by a command of its own, by "
                "a cluster of Node, or is just being replaced. Let the service start the application "
                "([start] app in preview.toml), or try again."
            )
        return json_answer(ProfileShape.of(profile, preview.id), 202)

    @routes.get("/preview/profile")
    async def last(backend: Backend, generation_id: str) -> Response:
        """Return the running or the last measurement of the preview's process, with its result.

        It is kept until the process ends or is replaced.
        """
        await own_generation(backend, generation_id)
        preview = _live(backend, generation_id)
        profile = None if preview.control is None else preview.control.profiles.last
        if profile is None:
            raise ProfileNotFound("The functions of this process were never measured; start a measurement first.")
        return json_answer(ProfileShape.of(profile, preview.id))

    return routes


def _live(backend: Backend, generation_id: str) -> LivePreview:
    """Return the generation's running preview.

    Raises:
        NoActivePreview: It does not run.
    """
    preview = backend.previews.active(generation_id)
    if preview is None or preview.record.state is not State.RUNNING:
        raise NoActivePreview("The generation has no running preview; launch it first.")
    return preview
