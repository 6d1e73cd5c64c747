"""Dependency injection containers: tsyringe, inversify, typedi; and consign, which loads folders of routes."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.javascript import (
    ROOT,
    UNKNOWN,
    Bound,
    Call,
    Class,
    Function,
    JavaScriptEvaluator,
    JSObject,
    Made,
    Native,
)

REGISTERING: Final = frozenset({"register", "registerSingleton", "registerInstance", "set"})


@dataclass(slots=True)
class Bindings:
    """Objects for injection tokens.

    Attributes:
        values: Objects by token (a string, or the identity of a symbol or class).
        made: Instances by the identity of their class.
    """

    values: dict[object, object] = field(default_factory=dict)
    made: dict[int, object] = field(default_factory=dict)

    def register(self, call: Call) -> None:
        """Evaluate ``container.register('Users', {useClass: Users})``."""
        token, value = call.argument(0), call.argument(1)
        if isinstance(value, JSObject):
            options = value.names
            value = next((options[name] for name in ("useClass", "useValue", "useFactory") if name in options), value)
        self.bind(token, token if value is None else value)

    def bind(self, token: object, value: object) -> None:
        """Bind a token to a value."""
        self.values[_key(token)] = value

    def provide(self, token: object, evaluator: JavaScriptEvaluator) -> object:
        """Return the object for a token; a class has a single instance."""
        value = evaluator.settle(self.values.get(_key(token), token))
        if isinstance(value, Class):
            if id(value) not in self.made:
                self.made[id(value)] = UNKNOWN  # ends mutual injection
                self.made[id(value)] = evaluator.construct(value, Call.made(evaluator, []))
            return self.made[id(value)]
        if isinstance(value, Function) and value is not token:
            return evaluator.call(value, [])
        return value if value is not token else UNKNOWN


def _key(token: object) -> object:
    return token if isinstance(token, str) else id(token)


@dataclass(eq=False, slots=True)
class Container(Native):
    """``new Container()`` of inversify."""

    bindings: Bindings

    def attribute(self, name: str) -> object:
        """Return a bound method."""
        return Bound(self, name)

    def call_method(self, name: str, call: Call) -> object:
        """Bind a token, return an object, or load a module of bindings."""
        if name in {"bind", "rebind"}:
            return Binder(self.bindings, call.argument(0))
        if name in {"get", "resolve"}:
            return self.bindings.provide(call.argument(0), call.evaluator)
        if name == "load":
            for module in call.arguments:  # new ContainerModule(bind => …)
                for build in module.arguments if isinstance(module, Made) else []:
                    if isinstance(build, Function):
                        call.evaluator.call(build, [Bound(self, "bind")])
        return self


@dataclass(eq=False, slots=True)
class Binder(Native):
    """``container.bind(TYPES.Users)`` before ``.to(Users)``."""

    bindings: Bindings
    token: object

    def call_method(self, name: str, call: Call) -> object:
        """Bind the token to the argument; ignore calls that set the lifetime."""
        if name in {"to", "toConstantValue", "toDynamicValue"}:
            self.bindings.bind(self.token, call.argument(0))
        return self


_MAX_FILES = 300


@dataclass(eq=False, slots=True)
class Consign(Native):
    """``consign({cwd: 'src'}).include('models').then('routes').into(app)``.

    Attributes:
        base: The folder that the names are relative to.
        names: Folders and files, in order.
    """

    base: str
    names: list[str] = field(default_factory=list)

    def call_method(self, name: str, call: Call) -> object:
        """Add a folder or file; ``into`` loads them all."""
        given = call.argument(0)
        if name in {"include", "then", "load"} and isinstance(given, str):
            self.names.append(given)
        elif name == "into":
            for file in self._files(call.evaluator):
                exports = call.evaluator.settle(call.evaluator.load(file).exports)
                if isinstance(exports, JSObject):
                    exports = call.evaluator.settle(exports.names.get("default"))
                if isinstance(exports, Function):
                    call.evaluator.call(exports, call.arguments)
        return self

    def _files(self, evaluator: JavaScriptEvaluator) -> list[str]:
        found: list[str] = []
        names = [name for name in evaluator.sources.with_suffix(".js", ".ts") if not name.endswith(".d.ts")]
        for given in self.names:
            path = posixpath.normpath(posixpath.join(evaluator.resolver.folder, self.base, given))
            found += sorted(name for name in names if name == path or name.startswith(f"{path}/"))
        return list(dict.fromkeys(found))[:_MAX_FILES]


def from_options(options: object) -> Consign:
    """Evaluate ``consign({cwd})``; the default folder is the package's."""
    base = options.names.get("cwd") if isinstance(options, JSObject) else None
    return Consign(base.removeprefix(ROOT).lstrip("/") if isinstance(base, str) else ".")
