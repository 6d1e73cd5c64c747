"""Applications, routers, controllers and route handlers of Litestar."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.model import Found
from preview.endpoints.more_python.listing import Style, join, list_table
from preview.endpoints.more_python.paths import read_braces
from preview.endpoints.more_python.program import Program
from preview.endpoints.more_python.requests import Reads
from preview.endpoints.more_python.tables import ANY, VERBS, Mount, Route, Table, read_methods
from preview.endpoints.python import (
    UNKNOWN,
    Call,
    Class,
    External,
    Function,
    Instance,
    Module,
    Native,
    PythonEvaluator,
    Scope,
)

_RESERVED: Final = frozenset({"request", "state", "headers", "cookies", "scope", "socket", "self", "body", "query"})
STYLE: Final = Style(
    read_braces,
    Reads(frozenset({"query_params"}), bodies=frozenset({"data"}), typed=True, others=_RESERVED),
    exact=False,
)
_PACKAGES: Final = frozenset({"litestar", "starlite"})
_APPS: Final = frozenset({"Litestar", "Starlite"})
# Handlers of WebSockets and files are no endpoints.
_IGNORED: Final = frozenset(
    {"websocket", "websocket_listener", "websocket_stream", "WebsocketListener", "create_static_files_router"}
)
_GENERIC: Final = frozenset({"route", "HTTPRouteHandler"})
_MAX_DEPTH: Final = 20


@dataclass(eq=False, slots=True)
class _Handler(Native):
    """``@get("/x")``, and then the function below it.

    Attributes:
        path: As given: a text, a list, or None for the path of its owner.
        methods: None if they are not known from the source.
    """

    path: object
    methods: tuple[str, ...] | None
    scope: Scope
    line: int
    function: Function | None = None

    def decorate(self, target: object) -> object:
        """Take the function; its name then refers to the handler."""
        function = target if isinstance(target, Function) else None
        return _Handler(self.path, self.methods, self.scope, self.line, function)

    def call(self, call: Call) -> object:
        """Evaluate ``get("/x")(function)``."""
        return self.decorate(call.argument(0, "fn"))


@dataclass(eq=False, slots=True)
class _Ignored(Native):
    """A handler that is no endpoint."""

    def decorate(self, target: object) -> object:  # noqa: ARG002
        """Return the handler itself."""
        return self

    def call(self, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``websocket("/x")(function)``."""
        return self


@dataclass(eq=False, slots=True)
class LitestarTable(Table):
    """``Litestar(…)`` or ``Router(…)``.

    Attributes:
        scope: The scope of the call that made it, at ``line``.
        handlers: The values in ``route_handlers``, and those registered later.
        at_start: Functions and plugins that may add handlers when the application is made.
    """

    scope: Scope = field(kw_only=True)
    line: int = field(kw_only=True)
    handlers: list[object] = field(default_factory=list)
    at_start: list[object] = field(default_factory=list)

    def call_method(self, name: str, call: Call) -> object:
        """Register a handler."""
        if name == "register":
            self.handlers.append(call.argument(0, "value"))
        return UNKNOWN


@dataclass(eq=False, slots=True)
class _AppConfig(Native):
    """The configuration that ``on_app_init`` changes."""

    table: LitestarTable

    def attribute(self, name: str) -> object:
        """Evaluate ``app_config.route_handlers``."""
        return self.table.handlers if name == "route_handlers" else UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``app_config.route_handlers = […]``."""
        if name == "route_handlers" and isinstance(value, list):
            self.table.handlers = value


class LitestarFramework(Program):
    """Defines the effects of Litestar's names for the evaluator."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name makes an application or a router."""
        return value.package in _PACKAGES and (value.last in _APPS or value.last == "Router")

    def construct(self, callee: External, call: Call) -> object:
        """Return an application, a router or a handler."""
        last = callee.last
        if callee.package not in _PACKAGES:
            return self.environment(callee, call)
        if self.is_constructor(callee):
            return self.keep(_table(last, call))
        if last in _IGNORED:
            return _Ignored()
        if last in VERBS or last in _GENERIC or last == "asgi":
            return _handler(last, call)
        return UNKNOWN


def _table(last: str, call: Call) -> LitestarTable:
    is_app = last in _APPS
    path = call.named.get("path", "") if is_app else call.argument(0, "path")
    given = call.argument(0, "route_handlers", []) if is_app else call.named.get("route_handlers", [])
    table = LitestarTable(is_app=is_app, scope=call.scope, line=call.node.lineno)
    table.prefix = path if isinstance(path, str) else None
    table.handlers = list(given) if isinstance(given, list) else [] if given is None else [UNKNOWN]
    for name in ("on_app_init", "plugins"):
        more = call.named.get(name)
        table.at_start += more if isinstance(more, list) else []
    return table


def _handler(last: str, call: Call) -> _Handler:
    path = call.argument(0, "path", None)
    if last in VERBS:
        methods: tuple[str, ...] | None = (last.upper(),)
    else:
        methods = (ANY,) if last == "asgi" else read_methods(call.named.get("http_method"), None)
    return _Handler(path, methods, call.scope, call.node.lineno)


def list_litestar(app: Table, evaluator: PythonEvaluator, found: Found) -> None:
    """Add all endpoints of an application."""
    if isinstance(app, LitestarTable):
        _start(app, evaluator)
        list_table(_whole(app, evaluator, 0), evaluator, found, STYLE)


def _start(app: LitestarTable, evaluator: PythonEvaluator) -> None:
    """Call the functions and plugins that may add handlers."""
    while app.at_start:
        hook = app.at_start.pop(0)
        if isinstance(hook, Instance):
            hook = evaluator.attribute(hook, "on_app_init")
        if isinstance(hook, Function):
            evaluator.call(hook, [_AppConfig(app)])


def _whole(table: LitestarTable, evaluator: PythonEvaluator, depth: int) -> Table:
    whole = Table(is_app=True, prefix=table.prefix)
    for handler in table.handlers if depth < _MAX_DEPTH else ():
        evaluator.step()
        whole.items += _items(handler, table, evaluator, depth)
    return whole


def _items(handler: object, owner: LitestarTable, evaluator: PythonEvaluator, depth: int) -> Iterator[Route | Mount]:
    evaluator.step()
    match handler:
        case _Handler():
            yield from _routes(handler, "")
        case LitestarTable():
            yield Mount(_whole(handler, evaluator, depth + 1), "", Scope(""), 0)
        case Class():
            yield from _of_controller(handler, evaluator)
        case Module():
            for value in list(handler.scope.names.values()):
                if isinstance(value, _Handler):
                    yield from _routes(value, "")
        case list():
            for item in handler if depth < _MAX_DEPTH else ():
                yield from _items(item, owner, evaluator, depth + 1)
        case _Ignored():
            pass
        case _:
            yield Mount(None, "", owner.scope, owner.line)


def _of_controller(cls: Class, evaluator: PythonEvaluator) -> Iterator[Route | Mount]:
    lineage = evaluator.lineage(cls)
    if any(isinstance(item, External) and item.last in _IGNORED for item in lineage):
        return
    path = evaluator.attribute(cls, "path")
    prefix = path if isinstance(path, str) else "" if path is UNKNOWN or isinstance(path, External) else None
    seen: set[str] = set()
    for ancestor in lineage:
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if name not in seen and isinstance(value, _Handler):
                for route in _routes(value, prefix):
                    if route.handlers:
                        handlers = {
                            verb: Function(one.node, one.scope, receiver=cls) if one else None
                            for verb, one in route.handlers.items()
                        }
                        route.handlers = handlers
                    yield route
            seen.add(name)


def _routes(handler: _Handler, prefix: str | None) -> Iterator[Route]:
    given = handler.path if isinstance(handler.path, list) else [handler.path]
    for one in given or [None]:
        text = "" if one is None else one if isinstance(one, str) else None
        path = None if text is None or prefix is None else join(prefix, text)
        handlers = None if handler.methods is None else dict.fromkeys(handler.methods, handler.function)
        yield Route(path, handlers, handler.scope, handler.line)
