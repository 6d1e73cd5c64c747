"""From an application to a flat list of endpoints."""

from __future__ import annotations

from collections.abc import Iterator

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.express.handlers import read_handlers
from preview.endpoints.express.paths import join_paths, parameter_names, readable
from preview.endpoints.express.requests import Requests
from preview.endpoints.express.router import Mount, Route, Router
from preview.endpoints.javascript import Interpreter
from preview.endpoints.model import Endpoint, Found

# Routers within routers, and a stop for those that use each other.
_MAX_DEPTH = 20
_MAX_ENDPOINTS = 5_000
_BODYLESS = frozenset({"GET", "HEAD", "OPTIONS", "*"})


def list_endpoints(app: Router, interpreter: Interpreter, found: Found) -> None:
    """Add all endpoints of an application to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: Too much was read; ``found`` has what came before.
    """
    requests = Requests(interpreter)
    for route, path in _flatten(app, app.prefix, 0, interpreter):
        key = (route.method, readable(path))
        # The first of two routes is the one that answers.
        if key not in found:
            found[key] = _endpoint(route, key[1], interpreter, requests)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _flatten(router: Router, prefix: str, depth: int, interpreter: Interpreter) -> Iterator[tuple[Route, str]]:
    if depth > _MAX_DEPTH:
        return
    for item in router.items:
        interpreter.step()
        if isinstance(item, Mount):
            yield from _flatten(item.child, join_paths(prefix, item.prefix), depth + 1, interpreter)
        else:
            yield item, join_paths(prefix, item.path)


def _endpoint(route: Route, path: str, interpreter: Interpreter, requests: Requests) -> Endpoint:
    known = read_handlers(route, interpreter, requests)
    return Endpoint(
        method=route.method,
        path=path,
        summary=known.summary,
        description=known.description,
        query=known.query,
        request_body=None if route.method in _BODYLESS else known.body or None,
        file=route.scope.file or None,
        line=route.line or None,
        path_parameters=dict.fromkeys(parameter_names(path), "string"),
    )
