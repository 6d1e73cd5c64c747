"""Objects that Node itself brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from preview.endpoints.javascript.native import Call, Native
from preview.endpoints.javascript.values import Module
from preview.endpoints.names import UNKNOWN


@dataclass(eq=False, slots=True)
class Require(Native):
    """``require`` of one module."""

    file: str

    def call(self, call: Call) -> object:
        """``require('x')``; for a name that is not known, ``UNKNOWN``."""
        name = call.argument(0)
        if not isinstance(name, str):
            return UNKNOWN
        found = call.interpreter.require(name, self.file)
        return found.exports if isinstance(found, Module) else found

    def call_method(self, name: str, call: Call) -> object:
        """``require.resolve('x')``: the module's name will do."""
        return call.argument(0) if name == "resolve" else UNKNOWN

    def attribute(self, name: str) -> object:
        """``require.main`` is this module or not: no one knows."""
        return UNKNOWN if name != "cache" else None


@dataclass(eq=False, slots=True)
class Environment(Native):
    """``process.env``. A preview is no production: ``NODE_ENV`` is ``development``."""

    values: Mapping[str, str]

    def attribute(self, name: str) -> object:
        """A variable's value, where the project's files give one."""
        if name == "NODE_ENV":
            return "development"
        return self.values.get(name, UNKNOWN)


@dataclass(eq=False, slots=True)
class Bound(Native):
    """A method taken from its object: ``router.get.bind(router)``."""

    owner: Native
    name: str

    def call(self, call: Call) -> object:
        """Call it on its object."""
        return self.owner.call_method(self.name, call)

    def call_method(self, name: str, call: Call) -> object:
        """``.bind``, ``.call`` and ``.apply``."""
        if name == "bind":
            return self
        given = call.arguments[1:]
        if name == "apply":
            given = given[0] if given and isinstance(given[0], list) else []
        return self.owner.call_method(self.name, Call(None, call.scope, call.interpreter, given))


@dataclass(eq=False, slots=True)
class Thunk(Native):
    """A method whose answer is known: ``entry.isDirectory()``."""

    value: object

    def call(self, call: Call) -> object:  # noqa: ARG002
        """The answer."""
        return self.value


@dataclass(eq=False, slots=True)
class JSMap(Native):
    """``new Map()``, in the order of insertion."""

    pairs: list[list[object]] = field(default_factory=list)

    def call_method(self, name: str, call: Call) -> object:
        """Setting, getting and walking."""
        if name == "set":
            self.pairs.append([call.argument(0), call.argument(1)])
            return self
        if name == "get":
            key = call.argument(0)
            return next((pair[1] for pair in self.pairs if pair[0] == key), UNKNOWN)
        if name == "forEach":
            callback = call.argument(0)
            for key, value in list(self.pairs):
                call.interpreter.apply(callback, [value, key, self])
        parts = {"entries": list(self.pairs), "keys": [p[0] for p in self.pairs], "values": [p[1] for p in self.pairs]}
        return parts.get(name, UNKNOWN)
