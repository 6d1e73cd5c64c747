"""Routers of FastAPI and Starlette, and their registered routes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from preview.endpoints.model import SOCKET
from preview.endpoints.python import (
    UNKNOWN,
    Call,
    Class,
    Extensible,
    External,
    Function,
    Instance,
    Module,
    Native,
    Scope,
    Unread,
)

_SOCKET_DECORATORS = frozenset({"websocket", "websocket_route"})
_UNREAD_PREFIX = "the prefix of an included router is not known from the source, so its paths are incomplete here"
VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "trace"})


@dataclass(eq=False, slots=True)
class Route:
    """A route as registered. Its path lacks the prefix that the router gets when it is included."""

    methods: tuple[str, ...]
    path: str
    function: Function | None
    options: dict[str, ast.expr]
    values: dict[str, object]
    scope: Scope
    line: int


@dataclass(eq=False, slots=True)
class Include:
    """A router within a router, or an application mounted in another."""

    child: Router
    prefix: str
    tags: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Router(Extensible):
    """``FastAPI()``, ``APIRouter()`` and the like.

    Attributes:
        is_app: Whether a server can run the object.
        prefix: The prefix of the path of each route registered on the router.
        at_start: Functions that run when the server starts and may register more routes.
        classy: The items that come from a class's methods.
        is_starlette: Whether the object is an application of Starlette alone.
    """

    is_app: bool
    prefix: str
    tags: tuple[str, ...]
    file: str
    line: int
    items: list[Route | Include | Unread] = field(default_factory=list)
    at_start: list[Function] = field(default_factory=list)
    classy: list[Route] = field(default_factory=list)
    is_starlette: bool = False
    names: dict[str, object] = field(default_factory=dict)

    def attribute(self, name: str) -> object:
        """Evaluate ``app.router``, which stands for the application itself, or another attribute."""
        known = {"router": self, "prefix": self.prefix, "tags": list(self.tags)}
        return self.names.get(name, known.get(name, UNKNOWN))

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``router.prefix = …`` or the assignment of a project's own attribute."""
        if name == "prefix" and isinstance(value, str):
            self.prefix = value
        else:
            self.names[name] = value

    def call_method(self, name: str, call: Call) -> object:
        """Register a route, include a router, or mount an application."""
        if name in VERBS or name in {"api_route", "route"}:
            route = self._route(name, call)
            return self._miss("the path of a route", call) if route is None else Pending(self, route)
        if name in {"add_api_route", "add_route"}:
            route = self._route(name, call)
            if route is not None:
                target = call.argument(1, "route" if "route" in call.named else "endpoint")
                route.function = target if isinstance(target, Function) else None
                route.methods = class_verbs(target, call) or route.methods
                self.items.append(route)
            else:
                self._miss("the path of a route", call)
        elif name in _SOCKET_DECORATORS:
            path = call.argument(0, "path")
            if isinstance(path, str):
                return Pending(self, read_route((SOCKET,), self.prefix + path, call))
            return self._miss("the path of a WebSocket", call)
        elif name in {"add_websocket_route", "add_api_websocket_route"}:
            path, target = call.argument(0, "path"), call.argument(1, "route" if "route" in call.named else "endpoint")
            if not isinstance(path, str):
                return self._miss("the path of a WebSocket", call)
            route = read_route((SOCKET,), self.prefix + path, call)
            route.function = target if isinstance(target, Function) else None
            self.items.append(route)
        elif name == "include_router":
            self._include(call)
        elif name in {"mount", "host"}:
            child = call.argument(1, "app")
            prefix = call.text(0, "path") if name == "mount" else ""
            if isinstance(child, Router) and child is not self:
                self.items.append(Include(child, prefix.rstrip("/"), ()))
            elif not isinstance(child, Router) and not _are_files(child, call):
                self._miss(f"the application mounted at {prefix or '/'}", call)
        elif name in {"on_event", "add_event_handler"} and call.argument(0, "event_type") == "startup":
            handler = call.argument(1, "func")
            if isinstance(handler, Function):
                self.at_start.append(handler)
            return AtStart(self)
        elif name == "__init__":
            self._initialise(call)
        return UNKNOWN

    def _initialise(self, call: Call) -> None:
        """Evaluate ``super().__init__(prefix=…)`` in a subclass."""
        self.tags = read_tags(call.named.get("tags")) or self.tags
        prefix = call.named.get("prefix")
        if isinstance(prefix, str):
            self.prefix = prefix
            for route in self.classy:
                route.path = prefix + route.path

    def _include(self, call: Call) -> None:
        child = call.argument(0, "router")
        if isinstance(child, Module):
            child = child.scope.names.get("router", UNKNOWN)
        if isinstance(child, Router) and child is not self:
            prefix = call.named.get("prefix", "")
            if prefix is UNKNOWN:
                self.items.append(call.unread(_UNREAD_PREFIX))
            prefix = prefix if isinstance(prefix, str) else ""
            self.items.append(Include(child, self.prefix + prefix, read_tags(call.named.get("tags"))))
        elif not isinstance(child, Router):
            self._miss("an included router", call)

    def _miss(self, what: str, call: Call) -> object:
        """Note that something is registered that is not known from the source."""
        self.items.append(call.unread(f"{what} is not known from the source"))
        return UNKNOWN

    def _route(self, name: str, call: Call) -> Route | None:
        """Return the route, or None if its path cannot be known."""
        path = call.argument(0, "path", "")
        if not isinstance(path, str):
            return None
        methods = (name.upper(),) if name in VERBS else read_methods(call.named.get("methods"))
        return read_route(methods, self.prefix + path, call)


@dataclass(eq=False, slots=True)
class AtStart(Native):
    """``@app.on_event("startup")``: the routes that the function registers exist when the application serves."""

    router: Router

    def decorate(self, target: object) -> object:
        """Keep the function."""
        if isinstance(target, Function):
            self.router.at_start.append(target)
        return UNKNOWN


@dataclass(eq=False, slots=True)
class Pending(Native):
    """``router.get("/x")`` before it is applied to its function."""

    router: Router
    route: Route

    def call(self, call: Call) -> object:
        """Evaluate ``router.get("/x")(function)``."""
        return self.decorate(call.arguments[0] if call.arguments else UNKNOWN)

    def decorate(self, target: object) -> object:
        """Register the function."""
        self.route.function = target if isinstance(target, Function) else None
        self.router.items.append(self.route)
        return target


@dataclass(eq=False, slots=True)
class ClassyRoute(Native):
    """``@get("/x")`` above a method, from a package whose classes define routes."""

    route: Route

    def decorate(self, target: object) -> object:
        """Take the method; the class's name for the method then refers to the route."""
        if isinstance(target, Function):
            self.route.function = target
        return self


@dataclass(eq=False, slots=True)
class Files(Native):
    """``StaticFiles(…)``: files, which are no endpoints."""


def _are_files(child: object, call: Call) -> bool:
    if isinstance(child, Instance):
        return any(
            isinstance(item, External) and item.last.endswith("Files") for item in call.evaluator.lineage(child.cls)
        )
    return isinstance(child, Files)


def read_route(methods: tuple[str, ...], path: str, call: Call) -> Route:
    """Return a route that has no function yet."""
    options = {item.arg: item.value for item in call.node.keywords if item.arg}
    return Route(methods, path, None, options, call.named, call.scope, call.node.lineno)


def class_verbs(target: object, call: Call) -> tuple[str, ...]:
    """Return the methods of a class that serves requests (Starlette's ``HTTPEndpoint``); empty for other values."""
    if not isinstance(target, Class):
        return ()
    classes = [item for item in call.evaluator.lineage(target) if isinstance(item, Class)]
    return tuple(verb.upper() for verb in sorted({name for item in classes for name in item.body.names} & VERBS))


def read_methods(value: object) -> tuple[str, ...]:
    """Return the methods in ``methods=[…]``; GET if none are given."""
    found = [item.upper() for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return tuple(found) or ("GET",)


def read_tags(value: object) -> tuple[str, ...]:
    """Return the tags in ``tags=[…]`` that are strings."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
