"""Applications, route definitions and resources of aiohttp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from preview.endpoints.more_python.listing import Style
from preview.endpoints.more_python.paths import read_braces
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import VERBS, Mount, Pending, Route, Table, Through, handlers_of, read_methods
from preview.endpoints.python import UNKNOWN, Call, External, Native

STYLE: Final = Style(read_braces, Reads(mappings=frozenset({"query"})))


@dataclass(eq=False, slots=True)
class _Static(Native):
    """``web.static(…)``: files, which are no endpoints."""


@dataclass(eq=False, slots=True)
class _Resource(Native):
    """``app.router.add_resource("/x")``."""

    table: Table
    path: object

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``resource.add_route("GET", handler)``."""
        if name == "add_route":
            methods = read_methods(call.argument(0, "method"), None)
            self.table.add(self.path, methods, call.argument(1, "handler"), call)
        return UNKNOWN


@dataclass(eq=False, slots=True)
class AiohttpTable(Table):
    """``web.Application()`` or ``web.RouteTableDef()``."""

    def elements(self) -> list[object]:
        """Return the routes of ``for route in routes``."""
        return list(self.items)

    def call_method(self, name: str, call: Call) -> object:
        """Register routes, a view, a resource or another application."""
        method = name.removeprefix("add_")
        if method in VERBS or method in {"view", "route"}:
            return self._route(method, call, is_added=method != name)
        if name == "add_routes":
            self._add_all(call.argument(0, "routes"), call)
        elif name == "add_subapp":
            self.mount(call.argument(1, "subapp"), call.argument(0, "prefix"), call)
        elif name in {"add_resource", "add_plain_resource"}:
            return _Resource(self, call.argument(0, "path"))
        elif name == "append":
            self._add_all([call.argument(0, "route")], call)
        return UNKNOWN

    def _route(self, method: str, call: Call, *, is_added: bool) -> object:
        shift = 1 if method == "route" else 0
        path = call.argument(shift, "path")
        methods: tuple[str, ...] | None = None if method == "view" else (method.upper(),)
        if method == "route":
            methods = read_methods(call.argument(0, "method"), None)
        if not is_added:
            return Pending(self, path, methods, call)
        self.add(path, methods, call.argument(shift + 1, "handler"), call)
        # The result is a route, which `cors.add(…)` takes.
        return UNKNOWN

    def _add_all(self, routes: object, call: Call) -> None:
        items = routes.items if isinstance(routes, AiohttpTable) else routes
        for item in list(items) if isinstance(items, list) else [UNKNOWN]:
            call.evaluator.step()
            if isinstance(item, (Route, Mount)):
                self.items.append(item)
            elif isinstance(item, AiohttpTable) and item is not self:
                self._add_all(item, call)
            elif not isinstance(item, _Static):
                self.mount(UNKNOWN, "", call)


class AiohttpFramework(Program):
    """Defines the effects of aiohttp's names for the evaluator."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application or a list of routes."""
        return value.package == "aiohttp" and value.last in {"Application", "RouteTableDef"}

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, a listed route or an object around the application."""
        last = callee.last
        if callee.package == "aiohttp_cors" and last == "setup":
            return Through()
        if callee.package != "aiohttp":
            return self.environment(callee, call)
        if self.is_constructor(callee):
            return self.keep(AiohttpTable(is_app=last == "Application"))
        if last in {"run_app", "_run_app", "AppRunner"}:
            return self.serve(call.argument(0, "app"))
        if last == "static":
            return _Static()
        return self._listed(last, call)

    def _listed(self, last: str, call: Call) -> object:
        shift = 1 if last == "route" else 0
        if last not in VERBS and last not in {"view", "route"}:
            return UNKNOWN
        methods: tuple[str, ...] | None = None if last == "view" else (last.upper(),)
        if last == "route":
            methods = read_methods(call.argument(0, "method"), None)
        path = call.argument(shift, "path")
        handlers = handlers_of(call.argument(shift + 1, "handler"), methods, call.evaluator)
        return Route(path if isinstance(path, str) else None, handlers, call.scope, call.node.lineno)
