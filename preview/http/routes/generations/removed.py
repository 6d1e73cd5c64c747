"""Removed generations: list, restore, delete for good; relative to ``/api/v1``."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import structlog
import trio
from quart import Blueprint, Response
from werkzeug.exceptions import NotFound

from preview.core.clock import now_ms
from preview.core.quoting import quoted
from preview.errors import GenerationNotFound, PreviewError
from preview.generations import GenerationLibrary
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.generations import GenerationShape, RemovedList, RemovedShape
from preview.http.core.answers import json_answer, no_content
from preview.http.identity import require_identity

log = structlog.get_logger(__name__)

# Removed generations are deleted at most so long after their time.
_PURGE_EACH_S = 60.0


def removed_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("removed", running)

    @routes.get("/removed")
    async def list_removed(backend: Backend) -> Response:
        """Return your removed generations that can be restored, the last removed first."""
        identity = await require_identity(backend)
        kept = timedelta(seconds=backend.settings.removed_kept_s)
        found = await _library(backend).removed.list_for_user(identity.user.id, _since_ms(backend))
        items = [RemovedShape.taken_from(one, expires_at=one.removed_at + kept) for one in found]
        return json_answer(RemovedList(items=items, kept_s=kept.total_seconds(), next=None))

    @routes.post("/removed/<generation_id>/restore")
    async def restore(backend: Backend, generation_id: str) -> Response:
        """Restore a removed generation with its versions, launches and settings."""
        identity = await require_identity(backend)
        library = _library(backend)
        await library.removed.restore(generation_id, identity.user.id, _since_ms(backend))
        return json_answer(GenerationShape.model_validate(library.tell(await library.get(generation_id))))

    @routes.delete("/removed/<generation_id>")
    async def delete(backend: Backend, generation_id: str) -> Response:
        """Delete a removed generation at once, with all that belongs to it. This cannot be undone."""
        identity = await require_identity(backend)
        for one in await _library(backend).removed.list_for_user(identity.user.id, _since_ms(backend)):
            if one.id == generation_id:
                await delete_for_good(backend, one.id, one.user_id, one.project_id)
                return no_content()
        raise GenerationNotFound(f"There is no removed generation {quoted(generation_id)} (any more).")

    return routes


async def delete_for_good(backend: Backend, generation_id: str, user_id: str, project_id: str) -> None:
    """Delete a generation and all that belongs to it.

    Cancellation: the generation is deleted completely or not at all; the cleanup deletes its logs.
    """
    await _library(backend).delete(generation_id)
    await backend.previews.forget(generation_id, user_id)
    await backend.service.alerts.forget(generation_id)
    await backend.prober.forget(generation_id)
    await backend.service.launch_settings.forget(user_id, project_id)


async def delete_surplus(backend: Backend) -> None:
    """Delete removed generations beyond the number that users may keep, at once: they fill the disk.

    Cancellation: see ``delete_for_good``; the rest is deleted by the purge.
    """
    for one in await _library(backend).removed.due(0):
        # Another request may do the same.
        with suppress(GenerationNotFound):
            await delete_for_good(backend, one.id, one.user_id, one.project_id)


async def run_purge(backend: Backend) -> None:
    """Delete removed generations and data snapshots whose time is over, until cancelled.

    Cancellation: see ``delete_for_good``.
    """
    library = backend.service.library
    while library is not None:
        try:
            while due := await library.removed.due(_since_ms(backend)):
                for one in due:
                    await delete_for_good(backend, one.id, one.user_id, one.project_id)
            await backend.service.data.purge()
        except PreviewError as error:
            log.warning("removed generations not deleted yet", error=error.message)
        except Exception:
            # A row that the database refuses to delete must not end the service.
            log.exception("removed generations not deleted")
        await trio.sleep(min(_PURGE_EACH_S, max(0.1, backend.settings.removed_kept_s)))


def _since_ms(backend: Backend) -> int:
    return now_ms() - int(backend.settings.removed_kept_s * 1000)


def _library(backend: Backend) -> GenerationLibrary:
    library = backend.service.library
    if library is None:
        raise NotFound  # a host that stores its generations has its own way to manage them
    return library
