"""Search for FastAPI and Starlette applications, and conversion of their routers to a flat list of endpoints."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace

from preview.endpoints.budget import Budget, OutOfBudget
from preview.endpoints.fastapi.routes import (
    VERBS,
    ClassyRoute,
    Files,
    Include,
    Route,
    Router,
    class_verbs,
    read_methods,
    read_route,
    read_tags,
)
from preview.endpoints.fastapi.schemas import Schemas
from preview.endpoints.fastapi.signature import Parameters, read_parameters
from preview.endpoints.model import SOCKET, Endpoint, Found, FoundApp
from preview.endpoints.python import (
    UNKNOWN,
    Call,
    Class,
    External,
    Function,
    Kind,
    Native,
    PythonEvaluator,
    Unread,
    find_python_apps,
)
from preview.sources import Sources

_APPS = frozenset({"FastAPI", "Starlette"})
_ROUTERS = frozenset({"APIRouter", "Router", "InferringRouter"})
# Packages whose classes define routes: `class Users(Routable): @get("/users") …`
_CLASSY = frozenset({"classy_fastapi", "fastapi_class_router"})
_DEFAULT_READERS = frozenset({"getenv", "get", "config", "env"})
# The names that a star import binds, as far as routes need them.
_PACKAGES = frozenset({"fastapi", "starlette"})
_STARRED = ("FastAPI", "APIRouter", "Starlette", "Route", "Mount", "UploadFile")


class FastAPIFramework:
    """Defines the effects of FastAPI's and Starlette's names for the evaluator."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application or a router."""
        return value.last in _APPS or value.last in _ROUTERS or (value.last == "Routable" and value.package in _CLASSY)

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, a router or a listed route; for a middleware, return the wrapped application."""
        if self.is_constructor(callee):
            if callee.last == "Routable":
                return _routable(call)
            router = _router(call, is_app=callee.last in _APPS)
            router.is_starlette = callee.last == "Starlette"
            return router
        if callee.package in _CLASSY and callee.last in VERBS:
            return ClassyRoute(read_route((callee.last.upper(),), call.text(0, "path"), call))
        if callee.last in {"Route", "WebSocketRoute", "APIWebSocketRoute"}:
            return _listed_route(call, is_socket=callee.last != "Route")
        if callee.last == "Mount":
            return _listed_mount(call)
        if callee.last.endswith("StaticFiles"):
            return Files()
        if callee.last in {"Field", "field"}:
            # Evaluates to a setting's default. The default of a model's field does not matter here.
            return call.argument(0, "default")
        if callee.last in _DEFAULT_READERS:
            # os.getenv("PREFIX", "/api"): the default applies if the variable is not set.
            return call.argument(1, "default")
        # A middleware around the application counts as the application.
        given = (*call.arguments, call.named.get("app"))
        return next((item for item in given if isinstance(item, Router) and item.is_app), UNKNOWN)

    def starred(self, module: str) -> Sequence[str]:
        """Return the names that ``from fastapi import *`` binds."""
        return _STARRED if module.partition(".")[0] in _PACKAGES else ()


def _router(call: Call, *, is_app: bool) -> Router:
    prefix = call.named.get("prefix")
    router = Router(
        is_app=is_app,
        prefix=prefix if isinstance(prefix, str) else "",
        tags=read_tags(call.named.get("tags")),
        file=call.scope.file,
        line=call.node.lineno,
    )
    _add_listed(router, call.named.get("routes"))
    started = call.named.get("on_startup")
    given = [call.named.get("lifespan"), *(started if isinstance(started, list) else [])]
    router.at_start += [item for item in given if isinstance(item, Function)]
    return router


def _routable(call: Call) -> Router:
    """Return the router of an object whose class defines routes by its methods."""
    router = _router(call, is_app=False)
    cls = call.evaluator.evaluate(call.node.func, call.scope)
    for ancestor in call.evaluator.lineage(cls) if isinstance(cls, Class) else ():
        values = ancestor.body.names.values() if isinstance(ancestor, Class) else ()
        router.classy += [replace(value.route) for value in values if isinstance(value, ClassyRoute)]
    for route in router.classy:
        route.path = router.prefix + route.path
    router.items += router.classy
    return router


def _listed_route(call: Call, *, is_socket: bool) -> Route | Unread:
    path = call.argument(0, "path")
    if not isinstance(path, str):
        return call.unread("the path of a route is not known from the source")
    target = call.argument(1, "endpoint")
    function = target if isinstance(target, Function) else None
    methods = (SOCKET,) if is_socket else class_verbs(target, call) or read_methods(call.named.get("methods"))
    return Route(methods, path, function, {}, call.named, call.scope, call.node.lineno)


def _listed_mount(call: Call) -> Include:
    child = call.argument(1, "app")
    if not isinstance(child, Router):
        child = Router(is_app=False, prefix="", tags=(), file=call.scope.file, line=call.node.lineno)
        _add_listed(child, call.named.get("routes"))
    return Include(child, call.text(0, "path").rstrip("/"), ())


def _add_listed(router: Router, routes: object) -> None:
    if isinstance(routes, list):
        router.items += [item for item in routes if isinstance(item, (Route, Include, Unread))]


# Depth limit for nested routers; also ends mutual inclusion.
_MAX_DEPTH = 20
_MAX_ENDPOINTS = 5_000


def list_endpoints(router: Router, evaluator: PythonEvaluator, found: Found) -> None:
    """Add all endpoints of an application or a router to ``found``, in the order they were registered.

    Raises:
        OutOfBudget: The budget ran out; ``found`` has the endpoints found so far.
    """
    while router.at_start:
        evaluator.call(router.at_start.pop(0), [router])
    schemas = Schemas(evaluator)
    for route, prefix, tags in _flatten(router, "", (), 0, evaluator):
        if isinstance(route, Unread):
            found.miss(route.file, route.line, route.what)
            continue
        for endpoint in _endpoints(route, prefix, tags, evaluator, schemas):
            found.take(endpoint)
        if len(found) + len(found.sockets) >= _MAX_ENDPOINTS:
            raise OutOfBudget


def _flatten(
    router: Router, prefix: str, tags: tuple[str, ...], depth: int, evaluator: PythonEvaluator
) -> Iterator[tuple[Route | Unread, str, tuple[str, ...]]]:
    if depth > _MAX_DEPTH:
        return
    tags += router.tags
    for item in router.items:
        evaluator.step()
        if isinstance(item, Include):
            yield from _flatten(item.child, prefix + item.prefix, tags + item.tags, depth + 1, evaluator)
        else:
            yield item, prefix, tags


def _endpoints(
    route: Route, prefix: str, tags: tuple[str, ...], evaluator: PythonEvaluator, schemas: Schemas
) -> Iterator[Endpoint]:
    path = _clean(prefix + route.path)
    function = route.function
    parameters = read_parameters(function, path, evaluator, schemas) if function else Parameters()
    for method in route.methods:
        has_body = method not in {"GET", "HEAD", "OPTIONS"}
        yield Endpoint(
            method=method,
            path=path,
            summary=_summary(route),
            description=_description(route),
            tags=tuple(dict.fromkeys((*tags, *read_tags(route.values.get("tags"))))),
            query=parameters.query,
            request_body=parameters.body if has_body else None,
            response_schema=_response(route, schemas),
            file=function.scope.file if function else route.scope.file,
            line=function.node.lineno if function else route.line,
            path_parameters=parameters.path,
        )


def _clean(path: str) -> str:
    """Return a path as OpenAPI writes it: ``{path:path}`` without its converter."""
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
    # FastAPI shows nothing after a form feed.
    return (text or "").partition("\f")[0].strip()


def _response(route: Route, schemas: Schemas) -> object:
    node = route.options.get("response_model")
    described = schemas.describe(node, route.scope) if node is not None else None
    if node is None and route.function is not None:
        described = schemas.describe(route.function.node.returns, route.function.scope)
    return None if described in (None, "null", {}, []) else described


def find_fastapi_apps(sources: Sources, budget: Budget) -> list[FoundApp]:
    """Return the project's applications, the likeliest first."""
    return find_python_apps(sources, budget, _KIND)


def _is_app(value: object) -> bool:
    return isinstance(value, Router) and value.is_app


def _list(app: Native, evaluator: PythonEvaluator, found: Found) -> None:
    if isinstance(app, Router):
        list_endpoints(app, evaluator, found)


def _identify(app: Native) -> tuple[str, str]:
    is_starlette = isinstance(app, Router) and app.is_starlette
    return ("starlette", "Starlette") if is_starlette else ("fastapi", "FastAPI")


_KIND = Kind("fastapi", "FastAPI", (b"FastAPI", b"Starlette"), FastAPIFramework, _is_app, _list, _identify)
