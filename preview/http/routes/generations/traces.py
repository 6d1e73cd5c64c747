"""Routes of a preview's traces and reported metrics, relative to ``/api/v1/generations/<generation_id>``."""

from __future__ import annotations

import trio
from quart import Blueprint, Response, request

from preview.core.quoting import quoted
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.history.reported_metrics import ReportedMetrics
from preview.http.contracts.history.traces import TraceItem, TraceList, TraceShape, TracesQuery
from preview.http.core.answers import json_answer
from preview.http.core.bodies import OneRequestQuery
from preview.http.core.reading import checked_query
from preview.http.identity import own_generation
from preview.http.routes.requests import preview_of
from preview.people_errors import TraceNotFound
from preview.tracing import Trace


def trace_routes(running: Running) -> Blueprint:
    """Return the routes that list and show traces, and what else the program reports."""
    routes = BackendRoutes("traces", running)

    @routes.get("/preview/traces")
    async def list_traces(backend: Backend, generation_id: str) -> Response:
        """Return traces of the preview's requests, live or ended, the newest first, by pages.

        They are kept in memory until the service ends. A launch with the start option `trace` records them.
        """
        await own_generation(backend, generation_id)
        query = checked_query(request, TracesQuery)
        record = await preview_of(backend, generation_id, query.preview_id)
        traces = backend.service.traces.find(record.id)
        items: list[TraceItem] = []
        next_number = None
        for trace in [] if traces is None else traces.newest():
            # Reading a thousand statements takes milliseconds.
            await trio.lowlevel.checkpoint()
            if not trace.spans or not _matches(trace, query):
                continue
            if len(items) == query.limit:
                next_number = items[-1].number
                break
            items.append(TraceItem.of(trace))
        return json_answer(TraceList.of(items, record.id, traces, next_number=next_number))

    @routes.get("/preview/traces/<trace_id>")
    async def one_trace(backend: Backend, generation_id: str, trace_id: str) -> Response:
        """Return one trace with its spans."""
        await own_generation(backend, generation_id)
        record = await preview_of(backend, generation_id, checked_query(request, OneRequestQuery).preview_id)
        traces = backend.service.traces.find(record.id)
        trace = None if traces is None else traces.get(trace_id)
        if trace is None or not trace.spans:
            raise TraceNotFound(
                f"There is no trace {quoted(trace_id)}: it was removed because of the limits, or tracing is off; "
                "launch with the start option trace."
            )
        return json_answer(TraceShape.of_preview(trace, record.id))

    @routes.get("/preview/metrics/reported")
    async def reported_metrics(backend: Backend, generation_id: str) -> Response:
        """Return the newest values of the metrics that the program of the preview, live or ended, has reported.

        A program reports them by OpenTelemetry, to the address in its `OTEL_EXPORTER_OTLP_ENDPOINT`. They are kept in
        memory until the service ends.
        """
        await own_generation(backend, generation_id)
        record = await preview_of(backend, generation_id, checked_query(request, OneRequestQuery).preview_id)
        is_live = backend.previews.find(record.id) is not None
        return json_answer(ReportedMetrics.of(record.id, backend.service.traces.find(record.id), is_live=is_live))

    return routes


def _matches(trace: Trace, query: TracesQuery) -> bool:
    if query.before is not None and trace.number >= query.before:
        return False
    if query.request_id is not None and query.request_id not in trace.request_ids:
        return False
    if query.min_ms is not None and trace.duration_us < query.min_ms * 1000:
        return False
    if query.contains is not None and query.contains.lower() not in trace.root.name.lower():
        return False
    if query.failed and not trace.has_error:
        return False
    return not query.hinted or bool(trace.hints)
