"""The route of a preview's measurements, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

from quart import Blueprint, Response

from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.history.metrics import MetricsShape
from preview.http.core.answers import json_answer
from preview.http.identity import own_preview
from preview.traffic import findings

_MIB = 1024 * 1024


def metrics_routes(running: Running) -> Blueprint:
    """Return the route that shows the measurements."""
    routes = BackendRoutes("metrics", running)

    @routes.get("/preview/metrics")
    async def show(backend: Backend, generation_id: str) -> Response:
        """Return memory, processor time, requests and latencies of the live preview since its launch."""
        preview = await own_preview(backend, generation_id)
        limit_mb = preview.settings.memory_limit_mb
        return json_answer(
            MetricsShape.of(
                preview.series,
                preview_id=preview.id,
                started_at=preview.record.created_at,
                memory_limit_mb=limit_mb,
                cpu_limit=preview.settings.cpu_limit,
                findings=findings(preview.series, memory_limit_bytes=limit_mb * _MIB),
            )
        )

    return routes
