"""What FastAPI's and Starlette's own names do in a project's code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preview.endpoints.fastapi.routes import (
    VERBS,
    ClassyRoute,
    Include,
    Route,
    Router,
    class_verbs,
    classy_route,
    read_methods,
    read_tags,
)
from preview.endpoints.python import UNKNOWN, Call, Class, External, Function

_APPS = frozenset({"FastAPI", "Starlette"})
_ROUTERS = frozenset({"APIRouter", "Router", "InferringRouter"})
# Packages whose classes carry routes: `class Users(Routable): @get("/users") …`
_CLASSY = frozenset({"classy_fastapi", "fastapi_class_router"})
_DEFAULT_READERS = frozenset({"getenv", "get", "config", "env"})
# What a star import brings, as far as routes need it.
_PACKAGES = frozenset({"fastapi", "starlette"})
_STARRED = ("FastAPI", "APIRouter", "Starlette", "Route", "Mount", "UploadFile")


class FastAPIFramework:
    """Plugs FastAPI and Starlette into the interpreter."""

    def is_constructor(self, value: External) -> bool:
        """Whether calling it gives an application or a router."""
        return value.last in _APPS or value.last in _ROUTERS or (value.last == "Routable" and _is_classy(value))

    def construct(self, callee: External, call: Call) -> object:
        """Applications, routers, listed routes; through a middleware, the application itself."""
        if self.is_constructor(callee):
            return _routable(call) if callee.last == "Routable" else _router(call, is_app=callee.last in _APPS)
        if _is_classy(callee) and callee.last in VERBS:
            return classy_route(callee.last, call)
        if callee.last == "Route":
            return _listed_route(call)
        if callee.last == "Mount":
            return _listed_mount(call)
        if callee.last in {"Field", "field"}:
            # A setting's default; of a model's field it says nothing that matters here.
            return call.argument(0, "default")
        if callee.last in _DEFAULT_READERS:
            # os.getenv("PREFIX", "/api"): what holds where nothing is set.
            return call.argument(1, "default")
        # A middleware around the application: its routes are the application's.
        given = (*call.arguments, call.named.get("app"))
        return next((item for item in given if isinstance(item, Router) and item.is_app), UNKNOWN)

    def starred(self, module: str) -> Sequence[str]:
        """Names of ``from fastapi import *``."""
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
    lifespan = call.named.get("lifespan")
    started = call.named.get("on_startup")
    given = [lifespan, *(started if isinstance(started, list) else [])]
    router.at_start += [item for item in given if isinstance(item, Function)]
    return router


def _is_classy(value: External) -> bool:
    return value.name.partition(".")[0] in _CLASSY


def _routable(call: Call) -> Router:
    """An object of a class whose methods are routes; it stands for its own router."""
    router = _router(call, is_app=False)
    cls = call.interpreter.evaluate(call.node.func, call.scope)
    for ancestor in call.interpreter.lineage(cls) if isinstance(cls, Class) else ():
        values = ancestor.body.names.values() if isinstance(ancestor, Class) else ()
        router.classy += [replace(value.route) for value in values if isinstance(value, ClassyRoute)]
    for route in router.classy:
        route.path = router.prefix + route.path
    router.items += router.classy
    return router


def _listed_route(call: Call) -> Route:
    target = call.argument(1, "endpoint")
    function = target if isinstance(target, Function) else None
    methods = class_verbs(target, call) or read_methods(call.named.get("methods"))
    return Route(methods, call.text(0, "path"), function, {}, call.named, call.scope, call.node.lineno)


def _listed_mount(call: Call) -> Include:
    child = call.argument(1, "app")
    if not isinstance(child, Router):
        child = Router(is_app=False, prefix="", tags=(), file=call.scope.file, line=call.node.lineno)
        _add_listed(child, call.named.get("routes"))
    return Include(child, call.text(0, "path").rstrip("/"), ())


def _add_listed(router: Router, routes: object) -> None:
    if isinstance(routes, list):
        router.items += [item for item in routes if isinstance(item, (Route, Include))]
