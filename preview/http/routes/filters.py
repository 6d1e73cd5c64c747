"""The route that explains a filter, relative to ``/api/v1``."""

from __future__ import annotations

from quart import Blueprint, Response, request

from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.contracts.filters import FilterShape
from preview.http.core.answers import json_answer
from preview.http.core.line_query import FilterQuery
from preview.http.core.reading import checked_query
from preview.http.identity import require_identity
from preview.logs.filter import parse_filter


def filter_routes(running: Running) -> Blueprint:
    """Return the route."""
    routes = BackendRoutes("filters", running)

    @routes.get("/filter")
    async def explain(backend: Backend) -> Response:
        """Return the terms of a filter, each with its place, its kind and one sentence.

        The service reads the filter in the same way wherever it is used. Mistakes are answered with `invalid_filter`.
        """
        await require_identity(backend, request)
        query = checked_query(request, FilterQuery)
        return json_answer(FilterShape.of(query.text, parse_filter(query.text)))

    return routes
