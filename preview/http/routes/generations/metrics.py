"""The route of a preview's measurements, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.errors import NoActivePreview
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.history.metrics import MetricsShape
from preview.http.core.answers import json_answer
from preview.http.core.bodies import OneRequestQuery
from preview.http.core.reading import checked_query
from preview.http.identity import own_generation
from preview.http.routes.requests import preview_of
from preview.traffic import KeptSeries, findings

_MIB = 1024 * 1024


def metrics_routes(running: Running) -> Blueprint:
    """Return the route that shows the measurements."""
    routes = BackendRoutes("metrics", running)

    @routes.get("/preview/metrics")
    async def show(backend: Backend, generation_id: str) -> Response:
        """Return memory, processor time, requests and latencies of a launch, by default of the newest one.

        They are stored each minute, and are kept as long as the launch.
        """
        await own_generation(backend, generation_id)
        record = await preview_of(backend, generation_id, checked_query(request, OneRequestQuery).preview_id)
        live = backend.previews.find(record.id)
        found = await backend.service.series.load(record.id) if live is None else None
        if live is not None:
            found = KeptSeries(live.series, live.settings.memory_limit_mb, live.settings.cpu_limit)
        if found is None:
            raise NoActivePreview("This launch has no measurements: it ended before the first one.")
        return json_answer(
            MetricsShape.of(
                found.series,
                preview_id=record.id,
                is_live=live is not None,
                started_at=record.created_at,
                memory_limit_mb=found.memory_limit_mb,
                cpu_limit=found.cpu_limit,
                findings=findings(found.series, memory_limit_bytes=found.memory_limit_mb * _MIB),
            )
        )

    return routes
