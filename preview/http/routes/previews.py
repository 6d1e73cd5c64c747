"""What only ``v1`` has of previews: the user's list, one by id, a longer life, a restart."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.core.quoting import quoted
from preview.errors import NoActivePreview, PreviewNotFound
from preview.http.backend import backend
from preview.http.contracts import v1
from preview.http.core.answers import json_answer
from preview.http.core.bodies import ExtendBody, ListQuery
from preview.http.core.reading import checked_query, read_json
from preview.http.identity import own_generation, require_identity
from preview.http.routes.preview import answer_launch
from preview.logs import Contract

_BODY_BYTES = 64 * 1024


def previews_routes() -> Blueprint:
    """The routes, relative to ``/api/v1``."""
    routes = Blueprint("previews", __name__)

    @routes.get("/previews")
    async def list_previews() -> Response:
        """Your previews, newest first, by pages."""
        identity = await require_identity()
        query = checked_query(request, ListQuery)
        records, following = await backend().previews.list_for_user(
            identity.user.id, state=query.status, cursor=query.cursor, limit=query.limit
        )
        return json_answer({"previews": [v1.instance(one) for one in records], "next_cursor": following})

    @routes.get("/previews/<preview_id>")
    async def get_preview(preview_id: str) -> Response:
        """One of your previews, live or over."""
        identity = await require_identity()
        record = await backend().previews.get(preview_id)
        if record.user_id != identity.user.id:
            # The same words as for an id that never was: nobody learns of another's preview.
            raise PreviewNotFound(f"There is no preview {quoted(preview_id)}.")
        active = backend().previews.find(record.id)
        watchers = 0 if active is None else active.log.subscriber_count
        return json_answer(v1.watched_instance(record, backend().previews.confinement(record.id), watchers))

    @routes.post("/generations/<generation_id>/preview/token")
    async def new_token(generation_id: str) -> Response:
        """A further preview token: that of the launch is shown once, and whoever launched may be somewhere else."""
        await own_generation(generation_id)
        active = backend().previews.active(generation_id)
        if active is None:
            raise NoActivePreview("The generation has no preview now; launch it first.")
        token = active.further_token()
        return json_answer(v1.preview_token(token, active.record), 201)

    @routes.post("/generations/<generation_id>/preview/extend")
    async def extend(generation_id: str) -> Response:
        """Let the preview live longer, up to your tier's longest life."""
        await own_generation(generation_id)
        body = await read_json(request, ExtendBody, limit_bytes=_BODY_BYTES)
        return json_answer(v1.instance(await backend().previews.extend(generation_id, body.seconds)))

    @routes.post("/generations/<generation_id>/preview/restart")
    async def restart(generation_id: str) -> Response:
        """Start the generation's preview again: one that runs keeps its id, port, tokens and log.

        Its process serves until the new one does, which is when the answer comes, and serves on where the new one
        does not: then the error says why. Where none runs this is a launch: a new preview with a log of its own.
        """
        identity, _ = await own_generation(generation_id)
        return await answer_launch(await backend().previews.restart(identity.user, generation_id), Contract.V1)

    return routes
