"""What FastAPI's and Starlette's constructors and methods do to the list of routes."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from preview.endpoints.fastapi.values import (
    UNKNOWN,
    External,
    Function,
    Include,
    Module,
    Pending,
    Route,
    Router,
    Scope,
)

__all__ = ["construct", "is_constructor", "router_call"]

_VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "trace"})
_APPS = frozenset({"FastAPI", "Starlette"})
_ROUTERS = frozenset({"APIRouter", "Router", "InferringRouter"})
_DEFAULT_READERS = frozenset({"getenv", "get", "config", "env"})


def is_constructor(value: External) -> bool:
    """Whether calling it gives an application or a router."""
    return value.last in _APPS or value.last in _ROUTERS


def construct(
    callee: External, node: ast.Call, arguments: Sequence[object], named: dict[str, object], scope: Scope
) -> object:
    """What calling something from outside the project gives."""
    if is_constructor(callee):
        router = Router(
            is_app=callee.last in _APPS,
            prefix=_text(named.get("prefix")),
            tags=_tags(named.get("tags")),
            file=scope.file,
            line=node.lineno,
        )
        _add_listed(router, named.get("routes"))
        return router
    if callee.last == "Route":
        return _listed_route(node, arguments, named, scope)
    if callee.last == "Mount":
        return _listed_mount(node, arguments, named, scope)
    if callee.last in _DEFAULT_READERS:
        # os.getenv("PREFIX", "/api"): what holds where nothing is set.
        return named.get("default", arguments[1] if len(arguments) > 1 else UNKNOWN)
    # A middleware around the application: its routes are the application's.
    return next((item for item in (*arguments, named.get("app")) if isinstance(item, Router) and item.is_app), UNKNOWN)


def router_call(
    router: Router,
    method: str,
    node: ast.Call,
    arguments: Sequence[object],
    named: dict[str, object],
    scope: Scope,
) -> object:
    """``router.method(…)``."""
    if method in _VERBS or method in {"api_route", "route"}:
        route = _route(router, method, node, arguments, named, scope)
        return UNKNOWN if route is None else Pending(router, route)
    if method in {"add_api_route", "add_route"}:
        route = _route(router, method, node, arguments, named, scope)
        if route is None:
            return UNKNOWN
        target = named.get("endpoint", named.get("route", arguments[1] if len(arguments) > 1 else UNKNOWN))
        route.function = target if isinstance(target, Function) else None
        router.items.append(route)
    elif method == "include_router":
        _include(router, named.get("router", arguments[0] if arguments else UNKNOWN), named)
    elif method in {"mount", "host"}:
        child = named.get("app", arguments[1] if len(arguments) > 1 else UNKNOWN)
        prefix = _text(named.get("path", arguments[0] if arguments else "")) if method == "mount" else ""
        if isinstance(child, Router) and child is not router:
            router.items.append(Include(child, prefix.rstrip("/"), ()))
    return UNKNOWN


def _include(router: Router, child: object, named: dict[str, object]) -> None:
    if isinstance(child, Module):
        child = child.scope.names.get("router", UNKNOWN)
    if isinstance(child, Router) and child is not router:
        router.items.append(Include(child, router.prefix + _text(named.get("prefix")), _tags(named.get("tags"))))


def _route(
    router: Router,
    method: str,
    node: ast.Call,
    arguments: Sequence[object],
    named: dict[str, object],
    scope: Scope,
) -> Route | None:
    """The route, or None where its path cannot be known."""
    path = named.get("path", arguments[0] if arguments else "")
    if not isinstance(path, str):
        return None
    methods = (method.upper(),) if method in _VERBS else _methods(named.get("methods"))
    return Route(
        methods=methods,
        path=router.prefix + path,
        function=None,
        options={item.arg: item.value for item in node.keywords if item.arg},
        values=named,
        scope=scope,
        line=node.lineno,
    )


def _listed_route(node: ast.Call, arguments: Sequence[object], named: dict[str, object], scope: Scope) -> object:
    target = named.get("endpoint", arguments[1] if len(arguments) > 1 else UNKNOWN)
    path = _text(named.get("path", arguments[0] if arguments else ""))
    function = target if isinstance(target, Function) else None
    return Route(_methods(named.get("methods")), path, function, {}, named, scope, node.lineno)


def _listed_mount(node: ast.Call, arguments: Sequence[object], named: dict[str, object], scope: Scope) -> object:
    child = named.get("app", arguments[1] if len(arguments) > 1 else UNKNOWN)
    if not isinstance(child, Router):
        child = Router(is_app=False, prefix="", tags=(), file=scope.file, line=node.lineno)
        _add_listed(child, named.get("routes"))
    return Include(child, _text(named.get("path", arguments[0] if arguments else "")).rstrip("/"), ())


def _add_listed(router: Router, routes: object) -> None:
    if isinstance(routes, list):
        router.items += [item for item in routes if isinstance(item, (Route, Include))]


def _methods(value: object) -> tuple[str, ...]:
    found = [item.upper() for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return tuple(found) or ("GET",)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _tags(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
