"""Endpoints of one backend from several origins, merged into one list.

The service merges them itself, and the backend chooses all of them: time and result have a bound for any lists.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Final

from preview.endpoints.application import RouteTable
from preview.endpoints.model import MAX_UNREAD, Endpoint, Listing, Origin

_PARAMETER: Final = re.compile(r"\{[^{}]*\}")
_MAX_ENDPOINTS: Final = 10_000
# A source endpoint describes one published endpoint, or some with other parameter names or a closing slash.
_MAX_USES: Final = 8
# Endpoints that differ only in method and parameter names. HTTP has about 40 methods.
_MAX_SAME: Final = 50
_MAX_METHODS: Final = 16


def merge_endpoints(static: Sequence[Endpoint], live: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the live endpoints, completed with facts from the source; the static ones if there are no live ones."""
    if not live:
        return list(static)
    known = {(endpoint.method, _shape(endpoint.path)): endpoint for endpoint in static}
    uses: Counter[tuple[str, str]] = Counter()
    merged: list[Endpoint] = []
    for endpoint in live[:_MAX_ENDPOINTS]:
        key = endpoint.method, _shape(endpoint.path)
        uses[key] += 1
        merged.append(_merge(endpoint, known.get(key) if uses[key] <= _MAX_USES else None))
    return _in_order_of_source(merged, {key: place for place, key in enumerate(known)})


def _in_order_of_source(merged: list[Endpoint], places: dict[tuple[str, str], int]) -> list[Endpoint]:
    """Return the endpoints in the source's order; one that the source lacks stays after its neighbour."""
    last = -1
    keyed: list[tuple[int, Endpoint]] = []
    for endpoint in merged:
        last = places.get((endpoint.method, _shape(endpoint.path)), last)
        keyed.append((last, endpoint))
    return [endpoint for _, endpoint in sorted(keyed, key=lambda one: one[0])]


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


def merge_listings(static: Listing, published: Sequence[Endpoint], table: RouteTable | None) -> Listing:
    """Return the endpoints of a running application, with all that is known about them.

    A table that has every route makes the list complete, whatever the source leaves open.

    Args:
        static: The endpoints from the source.
        published: The endpoints from the OpenAPI document; empty if there is none.
        table: The route table; None if there is none.
    """
    endpoints = tuple(merge_route_table(merge_endpoints(static.endpoints, published), table))
    if table is None or not table.endpoints:
        return replace(static, endpoints=endpoints)
    if not table.unknown:
        return Listing(endpoints, sockets=static.sockets)
    open_paths = [path for path in table.unknown if path != "/" and not _has_any(static.endpoints, path)]
    sentences = [f"routes below {path} are not in the application's route table" for path in open_paths]
    return Listing(endpoints, (*static.unread, *sentences)[:MAX_UNREAD], static.sockets)


def _has_any(endpoints: Sequence[Endpoint], below: str) -> bool:
    return any(f"{one.path}/".startswith(f"{below.rstrip('/')}/") for one in endpoints)


def merge_route_table(described: Sequence[Endpoint], table: RouteTable | None) -> list[Endpoint]:
    """Return the endpoints of the table: first those with a description, in its order, then the others.

    The application's own table decides which endpoints exist. An endpoint that it lacks is kept only where the table
    may have more routes.

    Args:
        described: Endpoints from the source and from the OpenAPI document.
        table: The route table; None if there is none.
    """
    if table is None or not table.endpoints:
        return list(described)
    by_shape: dict[str, list[_Described]] = defaultdict(list)
    known = [_Described(one) for one in described]
    for one in known:
        same = by_shape[_shape(one.endpoint.path)]
        if len(same) < _MAX_SAME:
            same.append(one)
    new: dict[tuple[str, str], Endpoint] = {}
    own = {(_shape(route.path), route.path.endswith("/")) for route in table.endpoints}
    for route in table.endpoints:
        shape = _shape(route.path)
        both = (shape, not route.path.endswith("/")) in own
        same = _stands_for(route, by_shape[shape], both=both)
        for one in same:
            if len(one.routes) < _MAX_METHODS:
                one.routes.setdefault(route.method, route)
        if not same:
            new[route.method, route.path] = route
    shown = (found for one in known for found in one.shown(table))
    return list(islice(chain(shown, new.values()), _MAX_ENDPOINTS))


@dataclass(eq=False, slots=True)
class _Described:
    """An endpoint, and the routes of the table that it describes: the first one of each method."""

    endpoint: Endpoint
    routes: dict[str, Endpoint] = field(default_factory=dict)

    def shown(self, table: RouteTable) -> Iterator[Endpoint]:
        """Yield the endpoint for each method that the table has of it."""
        one = self.endpoint
        if not self.routes:
            if not table.covers(one.path):
                yield one
            return
        types = one.path_parameters or next(iter(self.routes.values())).path_parameters
        for method in self.routes if one.method == "*" else [one.method]:
            route = self.routes.get(method) or next(iter(self.routes.values()))
            path = one.path
            if path.endswith("/") != route.path.endswith("/"):
                path = f"{path}/" if route.path.endswith("/") else path.rstrip("/") or "/"
            yield replace(one, method=method, path=path, source=Origin.APPLICATION, path_parameters=types)


def _stands_for(route: Endpoint, same: list[_Described], *, both: bool) -> list[_Described]:
    """Return what describes the route, of endpoints with the same shape; empty if nothing does.

    1. Source and table agree on the method. 2. The table accepts any method: the source knows which are handled.
    3. The source does not know the methods, and the table does. A closing slash counts where the table has ``both``
    forms of the path.
    """
    slash = route.path.endswith("/")
    alike = [one for one in same if one.endpoint.path.endswith("/") == slash]
    same = alike if both else alike or same
    exact = [one for one in same if one.endpoint.method == route.method]
    if exact or route.method == "*":
        return exact or same
    return [one for one in same if one.endpoint.method == "*"]


def _shape(path: str) -> str:
    """Return the path without parameter names and closing slash, to compare paths by what they match."""
    return _PARAMETER.sub("{}", path).rstrip("/")
