"""Routes of a generation's launches, relative to ``/api/v1``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.errors import PreviewNotFound
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.history.launches import LaunchComparison, LaunchDetail, LaunchList, LaunchShape
from preview.http.core.answers import json_answer
from preview.http.core.bodies import PageQuery
from preview.http.core.reading import checked_query
from preview.http.core.version_bodies import LaunchCompareQuery
from preview.http.identity import own_generation
from preview.http.launch_facts import LaunchFacts, endpoint_times
from preview.storage.launches import Launch, LaunchStore
from preview.storage.tables import PreviewRecord


def launch_routes(running: Running) -> Blueprint:
    """Return the routes."""
    routes = BackendRoutes("launches", running)

    @routes.get("/generations/<generation_id>/launches")
    async def list_launches(backend: Backend, generation_id: str) -> Response:
        """Return the generation's launches, newest first: each preview that is kept, with its result.

        The log, requests and failures of a launch are at their usual addresses, with `?preview_id=`.
        """
        identity, _ = await own_generation(backend, generation_id)
        query = checked_query(request, PageQuery)
        store = LaunchStore(backend.service.database)
        page, following = await store.page(identity.user.id, generation_id, cursor=query.cursor, limit=query.limit)
        items = [LaunchShape.of(_live(backend, one)) for one in page]
        return json_answer(LaunchList(items=items, next=following))

    @routes.get("/generations/<generation_id>/launches/<preview_id>")
    async def get_launch(backend: Backend, generation_id: str, preview_id: str) -> Response:
        """Return a launch with its steps, settings and endpoints."""
        record = await _own_launch(backend, generation_id, preview_id)
        return json_answer(LaunchDetail.of_facts(await _facts_of(backend, record)))

    @routes.get("/generations/<generation_id>/launches/<preview_id>/compare")
    async def compare_launches(backend: Backend, generation_id: str, preview_id: str) -> Response:
        """Compare a launch with an earlier one (`against`): settings, steps, failures and times of requests."""
        after = await _own_launch(backend, generation_id, preview_id)
        before = await _own_launch(backend, generation_id, checked_query(request, LaunchCompareQuery).against)
        return json_answer(LaunchComparison.between(await _facts_of(backend, before), await _facts_of(backend, after)))

    return routes


async def _facts_of(backend: Backend, record: PreviewRecord) -> LaunchFacts:
    service = backend.service
    launch = (await LaunchStore(service.database).counted([record]))[0]
    failures, _, _ = await service.failures.records(record.id)
    return LaunchFacts(launch, await endpoint_times(service.traffic, record.id), failures)


def _live(backend: Backend, launch: Launch) -> Launch:
    """Return the launch with what is not stored yet: the record of a live preview, and its newest failures."""
    preview = backend.previews.find(launch.record.id)
    failures = max(launch.failures, len(backend.service.failures.known(launch.record.id)))
    return Launch(launch.record if preview is None else preview.record, launch.requests, failures)


async def _own_launch(backend: Backend, generation_id: str, preview_id: str) -> PreviewRecord:
    """Return the launch of this generation with this id.

    Raises:
        PreviewNotFound: There is none, or it is another user's.
    """
    identity, _ = await own_generation(backend, generation_id)
    record = await backend.previews.get(preview_id)
    if record.generation_id != generation_id or record.user_id != identity.user.id:
        raise PreviewNotFound("There is no such launch; list the launches to see which there are.")
    return record
