"""Flask-Classful: classes whose methods are views, registered as a whole."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.endpoints.flask.registry import Registry, Rule, read_methods
from preview.endpoints.python import UNKNOWN, Call, Class, Function, Interpreter, Native

PACKAGES: Final = frozenset({"flask_classful", "flask_classy"})
_SPECIAL: Final = {"index": "GET", "get": "GET", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
_HOOKS: Final = frozenset({"before_request", "after_request", "register"})


@dataclass(eq=False, slots=True)
class RoutedMethod(Native):
    """``@route("/x", methods=[…])`` above a method."""

    path: str
    methods: tuple[str, ...] | None
    function: Function | None = None

    def decorate(self, target: object) -> object:
        """Take the method; the class's name for it stands for the route."""
        self.function = target if isinstance(target, Function) else None
        return self


def routed_method(call: Call) -> RoutedMethod:
    """What ``route(…)`` of the package gives."""
    return RoutedMethod(call.text(0, "rule"), read_methods(call.named.get("methods")))


def register_class(call: Call) -> object:
    """``Quotes.register(app, route_base="/quotes")``."""
    func = call.node.func
    cls = call.interpreter.evaluate(func.value, call.scope) if isinstance(func, ast.Attribute) else UNKNOWN
    owner = call.argument(0, "app")
    if isinstance(cls, Class) and isinstance(owner, Registry):
        base = _base(cls, call)
        for name, value in _methods(cls, call.interpreter):
            for path, methods, function in _rules(name, value):
                whole = re.sub(r"/{2,}", "/", f"/{base}/{path}")
                owner.entries.append(Rule(whole, methods, function, {}, call.scope, call.node.lineno))
    return UNKNOWN


def _base(cls: Class, call: Call) -> str:
    prefix = call.named.get("route_prefix", call.interpreter.attribute(cls, "route_prefix"))
    given = call.named.get("route_base", call.interpreter.attribute(cls, "route_base"))
    name = cls.node.name
    usual = (name.removesuffix("View") or name).lower()
    base = given if isinstance(given, str) else usual
    return f"{prefix}/{base}" if isinstance(prefix, str) else base


def _methods(cls: Class, interpreter: Interpreter) -> Iterator[tuple[str, object]]:
    seen = set(_HOOKS)
    for ancestor in interpreter.lineage(cls):
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if name not in seen and not name.startswith("_") and isinstance(value, (Function, RoutedMethod)):
                seen.add(name)
                yield name, value


def _rules(name: str, value: object) -> Iterator[tuple[str, tuple[str, ...] | None, Function | None]]:
    if isinstance(value, RoutedMethod):
        yield value.path, value.methods, value.function
    elif isinstance(value, Function):
        arguments = value.node.args
        names = [item.arg for item in (*arguments.posonlyargs, *arguments.args)][1:]
        parameters = "".join(f"/<{item}>" for item in names)
        if name in _SPECIAL:
            yield f"{parameters}/", (_SPECIAL[name],), value
        else:
            yield f"/{name}{parameters or '/'}", ("GET",), value
