"""Applications, routers and controllers of BlackSheep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.fastapi.schemas import last_name
from preview.endpoints.model import Found
from preview.endpoints.more_python.listing import Style, class_around, join, list_table
from preview.endpoints.more_python.paths import read_braces_type_first
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import VERBS, Mount, Pending, Route, Table, read_methods
from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, PythonEvaluator, Scope

_BODIES: Final = frozenset({"FromJSON", "FromForm", "FromFiles", "FromText", "FromBytes"})
STYLE: Final = Style(read_braces_type_first, Reads(frozenset({"query"}), bodies=_BODIES, typed=True), exact=False)
_MAX_DEPTH: Final = 10


@dataclass(eq=False, slots=True)
class BlackSheepTable(Table):
    """``Application()``, ``Router()`` or ``RoutesRegistry()``.

    Attributes:
        sources: The tables that an application takes its routes from.
    """

    sources: list[BlackSheepTable] = field(default_factory=list)

    def attribute(self, name: str) -> object:
        """Evaluate ``app.router``."""
        if name == "router" and self.is_app and self.sources:
            return self.sources[0]
        return Table.attribute(self, name)

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``app.controllers_router = registry``."""
        if name == "controllers_router" and isinstance(value, BlackSheepTable):
            self.sources.append(value)
        Table.set_attribute(self, name, value)

    def call_method(self, name: str, call: Call) -> object:
        """Register a handler or another application."""
        table = self.sources[0] if self.is_app and self.sources else self
        method = name.removeprefix("add_")
        if name == "mount":
            self.mount(call.argument(1, "app"), call.argument(0, "path"), call)
        elif name == "add":
            methods = read_methods(call.argument(0, "method"), None)
            table.add(call.argument(1, "pattern"), methods, call.argument(2, "handler"), call)
        elif method in VERBS and method != name:
            # Of `add_get(handler, pattern)` and its reverse, the text is the path.
            first, second = call.argument(0, "pattern"), call.argument(1, "handler")
            first, second = (second, first) if isinstance(first, Function) else (first, second)
            table.add(first, (method.upper(),), second, call)
        elif name in VERBS or name == "route":
            methods = (name.upper(),) if name in VERBS else read_methods(call.argument(1, "methods", None), ("GET",))
            return Pending(table, call.argument(0, "pattern", "/"), methods, call)
        return UNKNOWN


class BlackSheepFramework(Program):
    """Defines the effects of BlackSheep's names for the evaluator."""

    def __init__(self) -> None:
        super().__init__()
        self._routes = BlackSheepTable()

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application or a router."""
        return value.package == "blacksheep" and value.last in {"Application", "Router", "RoutesRegistry"}

    def construct(self, callee: External, call: Call) -> object:
        """Return an application or a router, or register on the default router."""
        last = callee.last
        if callee.package != "blacksheep":
            return self.environment(callee, call)
        if last == "Application":
            given = call.named.get("router")
            router = given if isinstance(given, BlackSheepTable) else self._routes
            return self.keep(BlackSheepTable(is_app=True, sources=[router]))
        if last in {"Router", "RoutesRegistry"}:
            return self._router(call)
        if last in VERBS or last == "route":
            return self._routes.call_method(last, call)
        return UNKNOWN

    def _router(self, call: Call) -> BlackSheepTable:
        prefix = call.named.get("prefix", "")
        found = BlackSheepTable(prefix=prefix if isinstance(prefix, str) else None)
        inner = call.named.get("sub_routers")
        found.sources = [item for item in inner if isinstance(item, BlackSheepTable)] if isinstance(inner, list) else []
        return found


def list_blacksheep(app: Table, evaluator: PythonEvaluator, found: Found) -> None:
    """Add all endpoints of an application."""
    list_table(_whole(app, evaluator, 0), evaluator, found, STYLE)


def _whole(app: Table, evaluator: PythonEvaluator, depth: int) -> Table:
    """Return a table with the routes of an application's routers, and of its controllers with their prefixes."""
    whole = Table(is_app=True, prefix=app.prefix)
    sources = app.sources if isinstance(app, BlackSheepTable) and depth < _MAX_DEPTH else []
    for source in sources:
        evaluator.step()
        whole.items.append(Mount(_whole(source, evaluator, depth + 1), "", Scope(""), 0))
    for item in app.items:
        evaluator.step()
        if isinstance(item, Mount) and item.child is not None:
            prefix = join(_prefix(app), item.prefix) if item.prefix else item.prefix
            inner = _whole(item.child, evaluator, depth + 1)
            if item.child.is_app:
                _keep_slash(inner)
            whole.items.append(Mount(inner, prefix, item.scope, item.line))
        elif isinstance(item, Route):
            whole.items += _controlled(item, evaluator)
        else:
            whole.items.append(item)
    return whole


def _keep_slash(mounted: Table) -> None:
    """Let the root of a mounted application end with a slash: without it, BlackSheep redirects."""
    for item in mounted.items:
        if isinstance(item, Route) and item.path in {"", "/"}:
            item.path, item.exact = "/", True
        elif isinstance(item, Mount) and item.child is not None and not item.prefix:
            _keep_slash(item.child)


def _prefix(app: Table) -> str:
    sources = app.sources if isinstance(app, BlackSheepTable) else []
    return (sources[0].prefix or "") if sources else ""


def _controlled(route: Route, evaluator: PythonEvaluator) -> list[Route | Mount]:
    """Return the route once for each controller that has it, with the controller's prefix."""
    functions = [one for one in (route.handlers or {}).values() if one is not None]
    cls = class_around(functions[0].scope) if functions else None
    if not isinstance(cls, Class):
        return [route]
    found: list[Route | Mount] = []
    for controller in _controllers(cls, evaluator):
        prefix = _route_of(controller, evaluator)
        path = None if prefix is None or route.path is None else join(prefix, route.path.lstrip("/") and route.path)
        found.append(Route(path, route.handlers, route.scope, route.line))
    return found


def _controllers(cls: Class, evaluator: PythonEvaluator) -> list[Class]:
    """Return the class, unless it is abstract, and its subclasses in the project."""
    classes = [item for module in evaluator.modules for item in module.scope.names.values() if isinstance(item, Class)]
    subclasses = [item for item in dict.fromkeys(classes) if item is not cls and cls in evaluator.lineage(item)]
    is_abstract = any(last_name(item) == "abstract" for item in cls.node.decorator_list)
    return subclasses if is_abstract else [cls, *subclasses]


def _route_of(controller: Class, evaluator: PythonEvaluator) -> str | None:
    """Return the prefix of a controller's routes; None if it is not known from the source."""
    given = evaluator.attribute(controller, "route")
    if isinstance(given, Function):
        given = evaluator.call(Function(given.node, given.scope, receiver=controller))
        return "" if given is None else given if isinstance(given, str) else None
    if isinstance(given, str):
        return given
    if given is not UNKNOWN and not isinstance(given, External):
        return None
    names = {item.last for item in evaluator.lineage(controller) if isinstance(item, External)}
    return _conventional(controller, evaluator) if "APIController" in names else ""


def _conventional(controller: Class, evaluator: PythonEvaluator) -> str:
    """Return ``/api/v1/cat`` for a ``CatV1(APIController)`` of version ``v1``."""
    name, version = _said(controller, "class_name", evaluator), _said(controller, "version", evaluator)
    name = name or controller.node.name.lower()
    if version and name.endswith(version.lower()):
        name = name[: -len(version)]
    return "/" + "/".join(part for part in ("api", version, name) if part)


def _said(controller: Class, name: str, evaluator: PythonEvaluator) -> str:
    method = evaluator.attribute(controller, name)
    said = evaluator.call(method) if isinstance(method, Function) else ""
    return said if isinstance(said, str) else ""
