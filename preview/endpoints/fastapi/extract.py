"""From routers to a flat list of endpoints."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from preview.endpoints.budget import OutOfBudget
from preview.endpoints.fastapi.routes import Include, Route, Router
from preview.endpoints.fastapi.schemas import Schemas
from preview.endpoints.fastapi.signature import Parameters, read_parameters
from preview.endpoints.model import Endpoint, Found
from preview.endpoints.python import Interpreter

# Routers within routers, and a stop for those that include each other.
_MAX_DEPTH = 20
_MAX_ENDPOINTS = 5_000


def list_endpoints(router: Router, interpreter: Interpreter, found: Found) -> None:
    """Add all endpoints of an application or a router to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: Too much was read; ``found`` has what came before.
    """
    while router.at_start:
        interpreter.call(router.at_start.pop(0), [router])
    schemas = Schemas(interpreter)
    for route, prefix, tags in _flatten(router, "", (), 0, interpreter):
        for endpoint in _endpoints(route, prefix, tags, interpreter, schemas):
            # The first of two routes is the one that answers.
            found.setdefault((endpoint.method, endpoint.path), endpoint)
        if len(found) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _flatten(
    router: Router, prefix: str, tags: tuple[str, ...], depth: int, interpreter: Interpreter
) -> Iterator[tuple[Route, str, tuple[str, ...]]]:
    if depth > _MAX_DEPTH:
        return
    tags += router.tags
    for item in router.items:
        interpreter.step()
        if isinstance(item, Include):
            yield from _flatten(item.child, prefix + item.prefix, tags + item.tags, depth + 1, interpreter)
        else:
            yield item, prefix, tags


def _endpoints(
    route: Route, prefix: str, tags: tuple[str, ...], interpreter: Interpreter, schemas: Schemas
) -> Iterator[Endpoint]:
    path = _clean(prefix + route.path)
    function = route.function
    parameters = read_parameters(function, path, interpreter, schemas) if function else Parameters()
    own_tags = route.values.get("tags")
    names = (*tags, *(item for item in (own_tags if isinstance(own_tags, list) else ()) if isinstance(item, str)))
    for method in route.methods:
        has_body = method not in {"GET", "HEAD", "OPTIONS"}
        yield Endpoint(
            method=method,
            path=path,
            summary=_summary(route),
            description=_description(route),
            tags=tuple(dict.fromkeys(names)),
            query=parameters.query,
            request_body=parameters.body if has_body else None,
            response_schema=_response(route, schemas),
            file=function.scope.file if function else route.scope.file,
            line=function.node.lineno if function else route.line,
            path_parameters=parameters.path,
        )


def _clean(path: str) -> str:
    """As OpenAPI writes it: ``{path:path}`` without its converter."""
    parts = path.split("{")
    cleaned = [parts[0]]
    for part in parts[1:]:
        inside, brace, rest = part.partition("}")
        cleaned.append(inside.partition(":")[0] + brace + rest if brace else part)
    path = "{".join(cleaned)
    return path if path.startswith("/") else f"/{path}"


def _summary(route: Route) -> str:
    given = route.values.get("summary")
    if isinstance(given, str):
        return given
    return route.function.node.name.replace("_", " ").title().strip() if route.function else ""


def _description(route: Route) -> str:
    given = route.values.get("description")
    if isinstance(given, str):
        return inspect.cleandoc(given)
    text = ast.get_docstring(route.function.node) if route.function else None
    # FastAPI shows nothing behind a form feed.
    return (text or "").partition("\f")[0].strip()


def _response(route: Route, schemas: Schemas) -> object:
    node = route.options.get("response_model")
    if node is not None:
        described = schemas.describe(node, route.scope)
    elif route.function is not None:
        described = schemas.describe(route.function.node.returns, route.function.scope)
    else:
        described = None
    return None if described in (None, "null", {}, []) else described
