"""Applications and groups of routes, as most Python frameworks have them, and the routes registered on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from preview.endpoints.python import (
    UNKNOWN,
    Call,
    Class,
    Extensible,
    External,
    Function,
    Instance,
    Native,
    PythonEvaluator,
    Scope,
)

VERBS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
ANY: Final = "*"

Handlers = Mapping[str, Function | None]
"""Maps a method to the function that answers it; None if the function is not known."""


@dataclass(eq=False, slots=True)
class Route(Native):
    """A route as registered; its path lacks the prefixes of the groups that contain it.

    Attributes:
        path: None if it is not known from the source.
        handlers: None if the methods are not known from the source.
        exact: Whether a closing slash counts here, in a framework where it does not elsewhere.
    """

    path: str | None
    handlers: Handlers | None
    scope: Scope
    line: int
    exact: bool = field(default=False, kw_only=True)


@dataclass(eq=False, slots=True)
class Mount(Native):
    """A table within another one; ``child`` or ``prefix`` is None if it is not known from the source."""

    child: Table | None
    prefix: str | None
    scope: Scope
    line: int


@dataclass(eq=False, slots=True)
class Table(Extensible):
    """An application or a group of routes. ``items`` are in the order of registration.

    Attributes:
        is_app: Whether a server can run the object.
        prefix: Comes before the path of each of its items.
        is_served: Whether the project itself gives the object to a server.
        names: Attributes that the project sets.
    """

    is_app: bool = False
    prefix: str | None = ""
    items: list[Route | Mount] = field(default_factory=list)
    is_served: bool = False
    names: dict[str, object] = field(default_factory=dict)

    def attribute(self, name: str) -> object:
        """Evaluate an attribute that the project has set, a method, or ``app.router`` (the application itself)."""
        if name not in self.names and name.removeprefix("add_") in {*VERBS, "route"}:
            return Method(self, name)
        return self.names.get(name, self if name == "router" else UNKNOWN)

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``app.name = value``."""
        self.names[name] = value

    def set_item(self, key: object, value: object) -> None:
        """Execute ``app["key"] = value``."""
        if isinstance(key, str):
            self.names[f"[{key}]"] = value

    def item(self, key: object) -> object:
        """Evaluate ``app["key"]``."""
        return self.names.get(f"[{key}]", UNKNOWN) if isinstance(key, str) else UNKNOWN

    def add(self, path: object, methods: tuple[str, ...] | None, target: object, call: Call) -> None:
        """Register a handler under one path or several; without methods, a class's own count, or GET."""
        handlers = handlers_of(target, methods, call.evaluator)
        for one in paths_of(path):
            self.items.append(Route(one, handlers, call.scope, call.node.lineno))

    def mount(self, child: object, prefix: object, call: Call) -> None:
        """Put another table under a prefix."""
        if child is not self:
            known = child if isinstance(child, Table) else None
            text = prefix if isinstance(prefix, str) else None
            self.items.append(Mount(known, text, call.scope, call.node.lineno))


@dataclass(eq=False, slots=True)
class Pending(Native):
    """``app.get("/x")`` before it is applied to its handler."""

    table: Table
    path: object
    methods: tuple[str, ...] | None
    made: Call

    def decorate(self, target: object) -> object:
        """Register the function or class."""
        self.table.add(self.path, self.methods, target, self.made)
        return UNKNOWN

    def call(self, call: Call) -> object:
        """Evaluate ``app.get("/x")(handler)``."""
        self.decorate(call.arguments[0] if call.arguments else UNKNOWN)
        return call.arguments[0] if call.arguments else UNKNOWN


@dataclass(eq=False, slots=True)
class Method(Native):
    """``get = app.get``: a method that has a name of its own."""

    table: Table
    name: str

    def call(self, call: Call) -> object:
        """Evaluate ``get("/x")``."""
        return self.table.call_method(self.name, call)


def paths_of(path: object) -> list[str | None]:
    """Return the paths of a route: one text, or a list; None stands for a path that is not known."""
    if isinstance(path, list):
        return [item if isinstance(item, str) else None for item in path]
    return [path if isinstance(path, str) else None]


def read_methods(value: object, default: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the methods in ``methods=[…]``, in upper case; ``default`` if none are given or known."""
    given = value if isinstance(value, list) else [value]
    found = [item.last if isinstance(item, External) else item for item in given]
    names = [item.upper() for item in found if isinstance(item, str)]
    return tuple(ANY if name in {"ANY", ANY} else name for name in names) or default


def handlers_of(target: object, methods: tuple[str, ...] | None, evaluator: PythonEvaluator) -> Handlers | None:
    """Return the handlers of a function (GET by default) or of a class that serves requests."""
    if isinstance(target, (Class, Instance)):
        found = class_handlers(target, evaluator, "{}")
        if not found:
            inner = evaluator.attribute(target, "__call__")
            found = dict.fromkeys(methods or (), inner if isinstance(inner, Function) else None)
        return {verb: one for verb, one in found.items() if methods is None or verb in methods or ANY in methods}
    function = target if isinstance(target, Function) else None
    return dict.fromkeys(methods or ("GET",), function)


def class_handlers(target: Class | Instance, evaluator: PythonEvaluator, form: str) -> dict[str, Function | None]:
    """Return a class's methods that answer requests. ``form`` is their name: ``{}`` or ``on_{}``."""
    cls = target.cls if isinstance(target, Instance) else target
    found: dict[str, Function | None] = {}
    for verb in VERBS:
        method = evaluator.attribute(cls, form.format(verb))
        if isinstance(method, Function):
            found[verb.upper()] = replace_receiver(method, cls)
        elif isinstance(method, Native):
            found[verb.upper()] = None
    return found


def replace_receiver(function: Function, cls: Class) -> Function:
    """Return the function as a method, so that its first parameter does not count."""
    return replace(function, receiver=cls)


@dataclass(eq=False, slots=True)
class Through(Native):
    """An object around the application whose calls return their first argument, such as ``aiohttp_cors``."""

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """Return the first argument."""
        return call.argument(0, "routing_entity")
