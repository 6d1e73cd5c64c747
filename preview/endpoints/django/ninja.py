"""Django Ninja: APIs, routers and the controllers of its extension, without Ninja's documentation pages."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from preview.endpoints.django.registrations import read_route
from preview.endpoints.python import UNKNOWN, Call, Class, Function, Module, Native, PythonEvaluator

_VERBS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_HTTP: Final = {f"http_{verb}": verb for verb in _VERBS}
_APIS: Final = frozenset({"NinjaAPI", "NinjaExtraAPI", "Router"})
NINJA_NAMES: Final = frozenset({*_APIS, *_HTTP, "api_controller", "http_generic"})
_GOOD: Final = frozenset({200, 201, 202})
_MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class NinjaRoute:
    """One operation. Its path lacks the prefix under which the API is included."""

    methods: tuple[str, ...]
    path: str
    parameters: dict[str, str]
    function: Function | None
    tags: tuple[str, ...]
    registered: Call

    @property
    def response(self) -> ast.expr | None:
        """The argument ``response=…``; of several by status, the first for a success."""
        given = next((item.value for item in self.registered.node.keywords if item.arg == "response"), None)
        if not isinstance(given, ast.Dict):
            return given
        pairs = zip(given.keys, given.values, strict=True)
        return next((value for key, value in pairs if isinstance(key, ast.Constant) and key.value in _GOOD), None)


@dataclass(eq=False, slots=True)
class NinjaUrls(Native):
    """``api.urls``."""

    api: Ninja


@dataclass(eq=False, slots=True)
class _Operation(Native):
    """``api.get("/x")`` before it is applied to its function; in a class body the function's name refers to it."""

    owner: Ninja | None
    methods: tuple[str, ...]
    path: str
    registered: Call
    function: Function | None = None

    def call(self, call: Call) -> object:
        """Evaluate ``api.get("/x")(function)``."""
        return self.decorate(call.arguments[0] if call.arguments else UNKNOWN)

    def decorate(self, target: object) -> object:
        """Register the function."""
        operation = target if isinstance(target, _Operation) else None
        self.function = operation.function if operation else target if isinstance(target, Function) else None
        if self.owner is None:
            return self
        self.owner.entries.append(self)
        return target


@dataclass(eq=False, slots=True)
class _Mount:
    prefix: str
    what: object
    tags: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Ninja(Native):
    """``NinjaAPI()``, ``Router()``, or a controller class."""

    tags: tuple[str, ...] = ()
    prefix: str = ""
    entries: list[_Operation | _Mount] = field(default_factory=list)

    def attribute(self, name: str) -> object:
        """Evaluate ``api.urls``."""
        return [NinjaUrls(self)] if name == "urls" else UNKNOWN

    def call_method(self, name: str, call: Call) -> object:
        """Register an operation, a router or a controller."""
        if name in _VERBS:
            return _Operation(self, (name.upper(),), call.text(0, "path"), call)
        if name == "api_operation":
            return _Operation(self, _texts(call.argument(0, "methods")), call.text(1, "path"), call)
        if name == "add_router":
            mount = _Mount(call.text(0, "prefix"), call.argument(1, "router"), _texts(call.named.get("tags")))
            self.entries.append(mount)
        elif name == "register_controllers":
            self.entries += [_Mount("", item, ()) for item in call.arguments]
        elif name == "add_api_operation":
            target = call.argument(2, "view_func")
            methods = _texts(call.argument(1, "methods"))
            _Operation(self, methods, call.text(0, "path"), call).decorate(target)
        return UNKNOWN

    def decorate(self, target: object) -> object:
        """Apply ``@api_controller("/x")`` to a class."""
        if not isinstance(target, Class):
            return UNKNOWN
        self.entries += [item for item in target.body.names.values() if isinstance(item, _Operation)]
        return self

    def routes(self, evaluator: PythonEvaluator, prefix: str = "", depth: int = 0) -> Iterator[NinjaRoute]:
        """Yield all operations, in the order of registration."""
        for item in self.entries if depth < _MAX_DEPTH else ():
            evaluator.step()
            if isinstance(item, _Operation):
                path, parameters = read_route(
                    _join(prefix + self.prefix, item.path).replace("{", "<").replace("}", ">")
                )
                tags = _texts(item.registered.named.get("tags")) or self.tags
                yield NinjaRoute(item.methods, path, parameters, item.function, tags, item.registered)
            elif (child := _resolve(item.what, evaluator)) is not None:
                for route in child.routes(evaluator, _join(prefix, item.prefix), depth + 1):
                    yield route if route.tags or not item.tags else replace(route, tags=item.tags)


def construct_ninja(name: str, call: Call) -> object:
    """Construct the object for a call of one of Ninja's names."""
    if name in _HTTP:
        return _Operation(None, (_HTTP[name].upper(),), call.text(0, "path"), call)
    if name == "http_generic":
        return _Operation(None, _texts(call.named.get("methods")), call.text(0, "path"), call)
    if name == "api_controller":
        prefix = call.text(0, "prefix_or_class")
        return Ninja(_texts(call.named.get("tags")), "/" + prefix.strip("/") if prefix.strip("/") else "")
    return Ninja(_texts(call.named.get("tags")))


def _resolve(what: object, evaluator: PythonEvaluator) -> Ninja | None:
    """Return the router that a value is, contains (a module) or names in full."""
    if isinstance(what, str):
        module, _, name = what.rpartition(".")
        found = evaluator.module(module) if module else None
        what = found.scope.names.get(name) if found else None
    if isinstance(what, Module):
        what = what.scope.names.get("router")
    return what if isinstance(what, Ninja) else None


def _join(prefix: str, path: str) -> str:
    """Join paths as Ninja does, with one slash between them."""
    return f"{prefix.rstrip('/')}/{path.lstrip('/')}" if prefix and path else prefix or path


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
