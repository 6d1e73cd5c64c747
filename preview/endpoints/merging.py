"""Endpoints of one backend from several origins, merged into one list."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from preview.endpoints.application import RouteTable
from preview.endpoints.model import Endpoint, Origin


def merge_endpoints(static: Sequence[Endpoint], live: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the live endpoints, completed with facts from the source; the static ones if there are no live ones."""
    if not live:
        return list(static)
    known = {(endpoint.method, _shape(endpoint.path)): endpoint for endpoint in static}
    return [_merge(endpoint, known.get((endpoint.method, _shape(endpoint.path)))) for endpoint in live]


def _merge(live: Endpoint, static: Endpoint | None) -> Endpoint:
    if static is None:
        return live
    return replace(
        live,
        summary=live.summary or static.summary,
        description=live.description or static.description,
        tags=live.tags or static.tags,
        query=live.query or static.query,
        request_body=static.request_body if live.request_body is None else live.request_body,
        response_schema=static.response_schema if live.response_schema is None else live.response_schema,
        file=static.file,
        line=static.line,
        path_parameters=static.path_parameters,
    )


def merge_route_table(described: Sequence[Endpoint], table: RouteTable | None) -> list[Endpoint]:
    """Return the endpoints of the table with their descriptions; those in no source file come last.

    The application's own table decides which endpoints exist. An endpoint that it lacks is kept only where the table
    may have more routes.

    Args:
        described: Endpoints from the source and from the OpenAPI document.
        table: The route table; None if there is none.
    """
    if table is None or not table.endpoints:
        return list(described)
    merger = _Merger(described)
    listed = [one for route in table.endpoints for one in merger.take(route)]
    listed += [one for one in merger.left if not table.covers(one.path)]
    return sorted(listed, key=lambda one: one.file is None)


class _Merger:
    """Gives each route of a table the endpoints that describe it, each once.

    Attributes:
        left: Endpoints that no route has taken, in order.
    """

    def __init__(self, described: Sequence[Endpoint]) -> None:
        self._by_shape: dict[str, list[Endpoint]] = defaultdict(list)
        for one in described:
            self._by_shape[_shape(one.path)].append(one)
        self._described = described
        self._used: set[int] = set()
        self._listed: set[tuple[str, str]] = set()

    @property
    def left(self) -> list[Endpoint]:
        return [one for one in self._described if id(one) not in self._used]

    def take(self, route: Endpoint) -> Iterator[Endpoint]:
        """Yield the endpoints that the route stands for.

        1. Source and table agree on the method. 2. The table accepts any method: the source knows which are handled.
        3. The source does not know the methods, and the table does. 4. The source does not have the route.
        """
        same = _narrowed(self._by_shape[_shape(route.path)], route.path)
        exact = [one for one in same if one.method == route.method]
        if not exact and route.method == "*":
            exact = same
        if not exact:
            exact = [replace(one, method=route.method) for one in same if one.method == "*"]
            self._used.update(id(one) for one in same if one.method == "*")
        self._used.update(map(id, exact))
        for one in exact or [route]:
            key = (one.method, one.path)
            if key not in self._listed:
                self._listed.add(key)
                types = one.path_parameters or route.path_parameters
                yield replace(one, source=Origin.APPLICATION, path_parameters=types)


def _narrowed(same: list[Endpoint], path: str) -> list[Endpoint]:
    """Return the endpoints whose closing slash is the path's too, if there are any; else all."""
    return [one for one in same if one.path.endswith("/") == path.endswith("/")] or same


def _shape(path: str) -> str:
    """Return the path without parameter names and closing slash, to compare paths by what they match."""
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/")
