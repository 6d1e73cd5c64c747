"""What FastAPI's and Starlette's own names do in a project's code."""

from __future__ import annotations

from collections.abc import Sequence

from preview.endpoints.fastapi.routes import Include, Route, Router, read_methods, read_tags
from preview.endpoints.python import UNKNOWN, Call, External, Function

__all__ = ["FastAPIFramework"]

_APPS = frozenset({"FastAPI", "Starlette"})
_ROUTERS = frozenset({"APIRouter", "Router", "InferringRouter"})
_DEFAULT_READERS = frozenset({"getenv", "get", "config", "env"})
# What a star import brings, as far as routes need it.
_PACKAGES = frozenset({"fastapi", "starlette"})
_STARRED = ("FastAPI", "APIRouter", "Starlette", "Route", "Mount", "UploadFile")


class FastAPIFramework:
    """Plugs FastAPI and Starlette into the interpreter."""

    def is_constructor(self, value: External) -> bool:
        """Whether calling it gives an application or a router."""
        return value.last in _APPS or value.last in _ROUTERS

    def construct(self, callee: External, call: Call) -> object:
        """Applications, routers, listed routes; through a middleware, the application itself."""
        if self.is_constructor(callee):
            return _router(call, is_app=callee.last in _APPS)
        if callee.last == "Route":
            return _listed_route(call)
        if callee.last == "Mount":
            return _listed_mount(call)
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
    return router


def _listed_route(call: Call) -> Route:
    target = call.argument(1, "endpoint")
    function = target if isinstance(target, Function) else None
    methods = read_methods(call.named.get("methods"))
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
