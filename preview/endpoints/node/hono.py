"""Hono, with ``@hono/zod-openapi`` and ``@hono/node-server``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final

from preview.endpoints.javascript import (
    UNKNOWN,
    Bound,
    Call,
    External,
    Function,
    JavaScriptEvaluator,
    JSObject,
    Native,
)
from preview.endpoints.node.router import UNREAD_PATH, Router, router_of

_VERBS: Final = frozenset({"get", "post", "put", "delete", "options", "patch", "all"})
_APPS: Final = frozenset({"Hono", "HonoBase", "OpenAPIHono"})
_PACKAGES: Final = frozenset({"hono", "hono/tiny", "hono/quick", "hono/hono-base", "@hono/zod-openapi"})
_PATTERN: Final = re.compile(r"(:\w+)\{(?:[^{}]|\{[^{}]*\})*\}")
_BRACES: Final = re.compile(r"/\{(\w+)\}")


@dataclass(eq=False)
class HonoApp(Router):
    """``new Hono()``: holds whole paths, as Hono does.

    Attributes:
        base: The prefix of the paths (``basePath``).
        current: The path of the last registration; a later one may leave its path out.
        origin: The application that ``basePath`` was called on; both have the same routes.
    """

    framework: ClassVar[str] = "hono"
    base: str = ""
    current: str = "/"
    origin: HonoApp | None = None

    def attribute(self, name: str) -> object:
        """Return an attribute set before, or a bound method (``fetch``)."""
        if name in self.names:
            return self.names[name]
        return Bound(self, name) if name in _VERBS or name in {"fetch", "request", "route", "on"} else UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """Register a route, take another application's routes, or return one with a prefix."""
        if name in _VERBS:
            self._verb(name, call)
        elif name == "use":
            first = call.argument(0)
            self.current = first if isinstance(first, str) else "*"
        elif name == "on":
            self._on(call)
        elif name == "route":
            self._route(call)
        elif name == "basePath":
            return self._below(call)
        elif name == "mount":
            self._mount(call)
        elif name in {"openapi", "openapiRoutes"}:
            self._openapi(call)
        elif name in {"doc", "doc31"}:
            path = call.argument(0)
            self._add("get", [path] if isinstance(path, str) else [], call, 1)
        elif name in {"fetch", "request"}:
            return UNKNOWN
        elif name == "fire":
            self.listens = True
        return self

    def _add(self, verb: str, paths: list[str], call: Call, skip: int, schema: object = None) -> None:
        self.add(verb, [_merged(self.base, _PATTERN.sub(r"\1", path)) for path in paths], call, skip, schema)

    def _verb(self, name: str, call: Call) -> None:
        first = call.argument(0)
        if isinstance(first, str):
            self.current = first
            if len(call.arguments) > 1:
                self._add(name, [first], call, 1)
        elif isinstance(first, Function) or len(call.arguments) == 1:
            self._add(name, [self.current], call, 0)
        else:
            self.note(call, UNREAD_PATH)

    def _on(self, call: Call) -> None:
        methods, paths = (item if isinstance(item, list) else [item] for item in (call.argument(0), call.argument(1)))
        for method in methods:
            for path in paths:
                if isinstance(method, str) and isinstance(path, str):
                    self.current = path
                    self._add(method, [path], call, 2)
                else:
                    self.note(call, UNREAD_PATH)

    def _route(self, call: Call) -> None:
        path, child = call.argument(0), router_of(call.evaluator.settle(call.argument(1)))
        if child is None or child is self:
            self.note(call, "the application at a path is only known at run time")
            return
        if not isinstance(path, str):
            self.note(call, UNREAD_PATH)
            path = ""
        if isinstance(child, HonoApp) and child.origin is not None:
            child.origin.is_mounted = True
        base = _merged(self.base, path)
        self.copy_routes(child, lambda inner: _merged(base, inner), call.evaluator, call)

    def _below(self, call: Call) -> HonoApp:
        path = call.argument(0)
        if not isinstance(path, str):
            self.note(call, UNREAD_PATH)
        base = _merged(self.base, path) if isinstance(path, str) else self.base
        return HonoApp(
            self.is_app, self.file, items=self.items, notes=self.notes, base=base, origin=self.origin or self
        )

    def _mount(self, call: Call) -> None:
        path, handler = call.argument(0), call.argument(1)
        owner = handler.owner if isinstance(handler, Bound) else None
        base = _merged(self.base, path) if isinstance(path, str) else self.base
        if isinstance(owner, Router):
            self.copy_routes(owner, lambda inner: _merged(base, inner), call.evaluator, call)
        else:
            self.note(call, "the application at a path is of another framework")

    def _openapi(self, call: Call) -> None:
        """Evaluate ``app.openapi(createRoute({method, path, request}), handler)``."""
        options = call.evaluator.settle(call.argument(0))
        method, path = (call.evaluator.member(options, name) for name in ("method", "path"))
        if isinstance(method, str) and isinstance(path, str):
            self._add(method, [_BRACES.sub(r"/:\1", path)], call, 1, call.evaluator.member(options, "request"))
        else:
            self.note(call, UNREAD_PATH)


def _merged(base: str, path: str) -> str:
    """Join two paths as Hono does: a route ``/`` below a prefix is the prefix."""
    start = base if not base or base.startswith("/") else f"/{base}"
    if path in {"", "/"} and start:
        return start
    return f"{start.rstrip('/')}/{path.lstrip('/')}"


@dataclass(eq=False)
class HonoFactory(Native):
    """``createFactory()``.

    Attributes:
        apps: The list that gets the applications.
    """

    apps: list[Router]

    def call_method(self, name: str, call: Call) -> object:
        """Make an application, or return the handlers as they are."""
        if name == "createApp":
            self.apps.append(HonoApp(is_app=True, file=call.scope.file))
            return self.apps[-1]
        return list(call.arguments) if name == "createHandlers" else call.argument(0)


def served(value: object, evaluator: JavaScriptEvaluator) -> Router | None:
    """Return the application that ``serve({fetch: app.fetch})`` or ``export default`` serves; None for none."""
    value = evaluator.settle(value)
    if isinstance(value, JSObject) and router_of(value) is None:
        value = evaluator.settle(value.names.get("fetch"))
    if isinstance(value, Bound):
        value = value.owner
    found = router_of(value)
    return found.origin or found if isinstance(found, HonoApp) else found


def make_hono(callee: External, call: Call, apps: list[Router]) -> object:
    """Return an application or a route's description; None for any other call."""
    package, _, inner = callee.name.partition(".")
    if package in _PACKAGES and inner in _APPS:
        apps.append(HonoApp(is_app=True, file=call.scope.file))
        return apps[-1]
    if callee.name in {"@hono/zod-openapi.createRoute", "hono/factory.createHandlers"}:
        return call.argument(0)
    if callee.name == "hono/factory.createMiddleware":
        return call.argument(0)
    if callee.name == "hono/factory.createFactory":
        return HonoFactory(apps)
    if callee.last in {"serve", "createAdaptorServer"} and package in {"@hono/node-server", "Bun", "Deno"}:
        app = served(call.argument(0), call.evaluator)
        if app is not None:
            app.listens = True
            call.evaluator.call_back(call.arguments[1:])
            return app
    return None
