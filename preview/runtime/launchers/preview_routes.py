"""Lists the routes of the application that this process serves, for a report to the service.

Runs in the child, on the project's own interpreter: standard library only. The service asks for it, so a launch does
not load this module. Frameworks are recognised by the names of classes: nothing is imported that is not there already.
See ``preview.endpoints.application`` for the lines.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable  # Python 3.8 has no generic ``collections.abc.Callable``
from typing import Any

_MOST_LINES = 10_000
# Less than the service reads of a report.
_MOST_BYTES = 900_000
_MOST_LINE = 1_900
_DEEPEST = 20
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
# Attributes in which wrappers keep the application that they wrap.
_WRAPPED = ("app", "application", "asgi_app", "wsgi_app", "other_asgi_app", "_app", "inner", "__wrapped__", "func")
_MOST_INNER = 8
_MOST_WRAPPERS = 100
_MOST_APPLICATIONS = 1_000


class Full(Exception):
    """The report has reached its limit."""


class Table:
    """The lines of a report."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._bytes = 0
        self._applications = 0

    def count_application(self) -> None:
        """Count an application that is read; applications may contain each other.

        Raises:
            Full: There are too many.
        """
        self._applications += 1
        if self._applications > _MOST_APPLICATIONS:
            raise Full

    def add(self, method: str, parts: tuple[str, ...]) -> None:
        """Add one line; a path that is too long or not one line is left out.

        Raises:
            Full: The report has reached its limit.
        """
        line = "\t".join((method, *parts))
        size = len(line.encode("utf-8", "replace")) + 30
        if len(self.lines) >= _MOST_LINES - 1 or self._bytes + size > _MOST_BYTES:
            raise Full
        if "\n" not in line and size <= _MOST_LINE:
            self.lines.append(line)
            self._bytes += size


class Place:
    """A position in the tree of applications and routers: the parts of a path, with their notation."""

    def __init__(self, table: Table, parts: tuple[str, ...] = (), depth: int = 0) -> None:
        self._table = table
        self._parts = parts
        self.depth = depth

    def below(self, part: str) -> Place:
        """Return the position below this part."""
        return Place(self._table, (*self._parts, part), self.depth + 1)

    def add(self, methods: Iterable[str] | None, part: str) -> None:
        """Add one route; without methods, it accepts any."""
        for method in sorted(methods) if methods else ["*"]:
            self._table.add(str(method).upper(), (*self._parts, part))

    def add_unknown(self) -> None:
        """Note that there may be more routes below this position."""
        self._table.add("?", self._parts or ("s/",))

    def walk(self, application: Any) -> None:
        """Add the routes of an application, or note that they are unknown."""
        self._table.count_application()
        if not _walk(application, self, set()):
            self.add_unknown()


def list_routes(application: Any) -> list[str]:
    """Return the report's lines for an application; errors of its own code leave the table incomplete."""
    table = Table()
    try:
        Place(table).walk(application)
    except BaseException:  # noqa: ASYNC103, BLE001  the application's objects may raise anything
        table.lines.append("?\ts/")
    return table.lines


def _is(thing: Any, package: str, *names: str) -> bool:
    """Return whether a class of this package, or of one that extends it, is among the object's classes."""
    return any(
        cls.__name__ in names and str(cls.__module__).partition(".")[0] == package for cls in type(thing).__mro__
    )


def _walk(application: Any, place: Place, seen: set[int]) -> bool:
    """Add the routes of an application or of what it wraps; return False if no part of it is known.

    Args:
        application: The application.
        place: Its position.
        seen: Objects that were looked at for this position; wrappers may refer to each other.
    """
    if application is None or place.depth > _DEEPEST or id(application) in seen or len(seen) > _MOST_WRAPPERS:
        return False
    seen.add(id(application))
    for is_it, walk in _FRAMEWORKS:
        if is_it(application):
            walk(application, place)
            return True
    found = [_walk(inner, place, seen) for inner in _inner(application)]
    return any(found)


def _inner(wrapper: Any) -> list[Any]:
    """Return the applications that a wrapper may pass requests to: attributes, a method's object, a closure."""
    if _is(wrapper, "channels", "ProtocolTypeRouter"):
        return [wrapper.application_mapping.get("http")]
    owner = getattr(wrapper, "__self__", None)
    if owner is not None and not isinstance(owner, type(sys)):
        return [owner]
    own = getattr(wrapper, "__dict__", {})
    found = [own[name] for name in _WRAPPED if callable(own.get(name))]
    if not found:
        cells = getattr(wrapper, "__closure__", None) or ()
        found = [one for one in map(_content, cells) if callable(one) and not isinstance(one, type)]
    return found[:_MOST_INNER]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None


# Starlette, FastAPI


def _walk_starlette(application: Any, place: Place) -> None:
    for route in list(application.routes):
        _add_starlette(route, place)


def _add_starlette(route: Any, place: Place) -> None:
    if _is(route, "starlette", "WebSocketRoute"):
        return
    if _is(route, "starlette", "Mount", "Host"):
        inner = route.app
        # Middleware of a mount wraps its application.
        while str(type(inner).__module__).startswith("starlette.middleware") and hasattr(inner, "app"):
            inner = inner.app
        if not _is(inner, "starlette", "StaticFiles"):
            place.below("s" + getattr(route, "path", "")).walk(inner)
    elif not _is(route, "starlette", "Route"):
        # Newer versions of FastAPI keep an included router as one route.
        inner = getattr(route, "original_router", route)
        if hasattr(inner, "routes") and place.depth <= _DEEPEST:
            _walk_starlette(
                inner, place.below("s" + str(getattr(getattr(route, "include_context", None), "prefix", "")))
            )
        else:
            place.add_unknown()
    # The pages of its documentation are no routes of the project.
    elif getattr(route.endpoint, "__module__", "") != "fastapi.applications":
        methods = set(route.methods or ())
        if isinstance(route.endpoint, type):
            methods = methods or {name.upper() for name in _METHODS if hasattr(route.endpoint, name)}
        if "GET" in methods and not _is(route, "fastapi", "APIRoute"):
            methods.discard("HEAD")
        place.add(methods, "s" + route.path)


# Flask, Quart

_FLASK_OWN = ("flask.app", "flask.blueprints", "flask.helpers", "flask.scaffold", "quart.app", "quart.blueprints")


def _walk_flask(application: Any, place: Place) -> None:
    for rule in list(application.url_map.iter_rules()):
        view = application.view_functions.get(rule.endpoint)
        # Static files are served by the framework.
        if str(getattr(view, "__module__", "")) not in _FLASK_OWN and not getattr(rule, "websocket", False):
            place.add({one for one in rule.methods or () if one not in ("HEAD", "OPTIONS")}, "f" + rule.rule)


def _walk_dispatcher(application: Any, place: Place) -> None:
    for prefix, inner in [("", application.app), *application.mounts.items()]:
        place.below("s" + prefix).walk(inner)


# Others


def _walk_litestar(application: Any, place: Place) -> None:
    for route in list(application.routes):
        kind = type(route).__name__
        if kind == "HTTPRoute":
            handlers = [getattr(one, "fn", None) for one in getattr(route, "route_handlers", ())]
            modules = [str(getattr(getattr(one, "value", one), "__module__", "")) for one in handlers]
            methods = {str(getattr(one, "value", one)) for one in route.methods} - {"OPTIONS"}
            if "GET" in methods:
                methods.discard("HEAD")
            # The pages of its documentation and static files are served by the framework.
            if methods and not (modules and all(one.startswith(("litestar.", "starlite.")) for one in modules)):
                place.add(methods, "s" + route.path)
        elif kind == "ASGIRoute":
            inner = getattr(route.route_handler, "fn", None)
            inner = getattr(inner, "value", inner)
            if "static" not in f"{getattr(inner, '__module__', '')}{type(inner).__name__}".lower():
                place.below("s" + route.path).walk(inner)


def _walk_falcon(application: Any, place: Place) -> None:
    from falcon import inspect  # type: ignore[import-not-found]  # noqa: PLC0415  the project's own

    for route in inspect.inspect_routes(application):
        methods = {one.method for one in route.methods if not one.internal} - {"OPTIONS", "WEBSOCKET"}
        if methods:
            place.add(methods, "s" + route.path)


def _walk_bottle(application: Any, place: Place) -> None:
    for route in list(application.routes):
        rule = re.sub(r"<([A-Za-z_]\w*)(?::[^<>]*)?>", r"<\1>", route.rule)
        place.add(None if route.method in ("ANY", "PROXY") else [route.method], "f" + rule)


# Its documents and files, and where a mounted application's own pages are.
_BLACKSHEEP_OWN = ("blacksheep.server.openapi", "blacksheep.server.files")


def _walk_blacksheep(application: Any, place: Place) -> None:
    _add_blacksheep(application.router, place, set())
    for mount in list(getattr(getattr(application, "mount_registry", None), "mounted_apps", ())):
        prefix = _text(mount.pattern).replace("*", "").strip("/")
        place.below(f"s/{prefix}" if prefix else "s").walk(mount.handler)


def _add_blacksheep(router: Any, place: Place, seen: set[int]) -> None:
    if id(router) in seen or len(seen) > _MOST_APPLICATIONS:
        return
    seen.add(id(router))
    # Older versions have no inner routers.
    pairs = getattr(router, "iter_with_methods", None)
    found = pairs() if pairs else [(method, one) for method, routes in router.routes.items() for one in routes]
    for method, route in list(found):
        handler = getattr(route, "handler", None)
        is_own = str(getattr(handler, "__module__", "")).startswith(_BLACKSHEEP_OWN)
        if not is_own and _text(method) not in ("GET_WS", "*"):
            place.add([_text(method)], "s" + _text(route.mustache_pattern).replace("*", "{tail}"))
    for inner in list(getattr(router, "_sub_routers", None) or ()):
        _add_blacksheep(inner, place, seen)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _walk_django(_application: Any, place: Place) -> None:
    from preview_control import load_beside  # type: ignore[import-not-found]  # noqa: PLC0415  in this file's folder

    load_beside("preview_routes_django").add_patterns(place.below("d/"))


_FRAMEWORKS: list[tuple[Callable[[Any], bool], Callable[[Any, Place], None]]] = [
    (lambda app: _is(app, "starlette", "Starlette", "Router"), _walk_starlette),
    (lambda app: _is(app, "flask", "Flask", "App") or _is(app, "quart", "Quart"), _walk_flask),
    (lambda app: _is(app, "werkzeug", "DispatcherMiddleware"), _walk_dispatcher),
    (lambda app: _is(app, "django", "BaseHandler"), _walk_django),
    (lambda app: _is(app, "litestar", "Litestar") or _is(app, "starlite", "Starlite"), _walk_litestar),
    (lambda app: _is(app, "falcon", "App", "API"), _walk_falcon),
    (lambda app: _is(app, "bottle", "Bottle"), _walk_bottle),
    (lambda app: _is(app, "blacksheep", "Application"), _walk_blacksheep),
]
