"""The evaluator's interface for frameworks, and objects that Node provides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tree_sitter import Node

from preview.endpoints.javascript.syntax import argument_nodes
from preview.endpoints.javascript.values import Class, Module, Scope
from preview.endpoints.names import UNKNOWN, External

if TYPE_CHECKING:
    from preview.endpoints.javascript.evaluator import JavaScriptEvaluator


@dataclass(slots=True)
class Call:
    """One call as it stands in the source. Its arguments are evaluated on demand.

    Attributes:
        node: The expression; None for a call that the evaluator makes itself.
        given: The arguments' values if they are already known, else None.
    """

    node: Node | None
    scope: Scope
    evaluator: JavaScriptEvaluator = field(repr=False)
    given: list[object] | None = None
    _known: dict[int, object] = field(default_factory=dict, repr=False)

    @classmethod
    def made(cls, evaluator: JavaScriptEvaluator, arguments: list[object]) -> Call:
        """Return a call without source, which the framework or the evaluator makes."""
        return cls(None, Scope(""), evaluator, arguments)

    @property
    def nodes(self) -> list[Node]:
        """The nodes of the arguments."""
        return argument_nodes(self.node) if self.node is not None else []

    @property
    def arguments(self) -> list[object]:
        """The values of all arguments; spread arguments (``...``) are expanded."""
        if self.given is None:
            found: list[object] = []
            for position, node in enumerate(self.nodes):
                if position in self._known:
                    found.append(self._known[position])
                else:
                    found += self.evaluator.evaluate_all([node], self.scope)
            self.given = found
        return self.given

    def argument(self, position: int) -> object:
        """Return the value of one argument, without evaluating the others; ``None`` if it is not given."""
        nodes = self.nodes
        if self.given is None and not any(node.type == "spread_element" for node in nodes[: position + 1]):
            if position >= len(nodes):
                return None
            if position not in self._known:
                self._known[position] = self.evaluator.evaluate(nodes[position], self.scope)
            return self._known[position]
        return self.arguments[position] if position < len(self.arguments) else None

    @property
    def line(self) -> int:
        """Line of the call's name, from 1; in a chain, the line of this part. 0 for a call without source."""
        if self.node is None:
            return 0
        function = self.node.child_by_field_name("function")
        part = function.child_by_field_name("property") if function is not None else None
        return (part or self.node).start_point.row + 1


class Native:
    """An object of a framework (a router). By default every result is ``UNKNOWN``."""

    __slots__ = ()

    def attribute(self, name: str) -> object:  # noqa: ARG002
        """Evaluate ``object.name``; ``UNKNOWN`` if the attribute is not known."""
        return UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``object.name = value``."""

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``object.name(…)``."""
        return UNKNOWN

    def call(self, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``object(…)``."""
        return UNKNOWN

    def hand_over(self, call: Call) -> None:
        """Note that an unknown function gets the object."""


class Framework(Protocol):
    """Interface between the evaluator and a framework, for external names."""

    def construct(self, callee: External, call: Call) -> object:
        """Return the result of an external call; ``UNKNOWN`` if it does not matter."""
        ...

    def inherit(self, base: External) -> object:
        """Return the framework's object inside an instance of a class that extends ``base``; None for most classes."""
        ...

    def provide(self, token: object, evaluator: JavaScriptEvaluator) -> object:
        """Return the object that the framework's container injects for a token or a class."""
        ...

    def declare(self, cls: Class) -> None:
        """Note a class with decorators."""
        ...


@dataclass(eq=False, slots=True)
class Require(Native):
    """``require`` of one module."""

    file: str

    def call(self, call: Call) -> object:
        """Evaluate ``require('x')``; return ``UNKNOWN`` if the name is not known."""
        name = call.argument(0)
        if not isinstance(name, str):
            return UNKNOWN
        found = call.evaluator.require(name, self.file)
        return found.exports if isinstance(found, Module) else found

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``require.resolve('x')`` to the module's name, which is sufficient."""
        return call.argument(0) if name == "resolve" else UNKNOWN

    def attribute(self, name: str) -> object:
        """Return ``UNKNOWN`` for ``require.main``: the main module is not known."""
        return UNKNOWN if name != "cache" else None


@dataclass(eq=False, slots=True)
class Environment(Native):
    """``process.env``. A preview is not a production system: ``NODE_ENV`` is ``development``."""

    values: Mapping[str, str]

    def attribute(self, name: str) -> object:
        """Return a variable's value if the project's files set one."""
        if name == "NODE_ENV":
            return "development"
        return self.values.get(name, UNKNOWN)


@dataclass(eq=False, slots=True)
class Bound(Native):
    """A method taken from its object: ``router.get.bind(router)``."""

    owner: Native
    name: str

    def call(self, call: Call) -> object:
        """Call the method on its object."""
        return self.owner.call_method(self.name, call)

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``.bind``, ``.call`` and ``.apply``."""
        if name == "bind":
            return self
        given = call.arguments[1:]
        if name == "apply":
            given = given[0] if given and isinstance(given[0], list) else []
        return self.owner.call_method(self.name, Call(None, call.scope, call.evaluator, given))


@dataclass(eq=False, slots=True)
class Thunk(Native):
    """A method with a known result: ``entry.isDirectory()``."""

    value: object

    def call(self, call: Call) -> object:  # noqa: ARG002
        """Return the known result."""
        return self.value


@dataclass(eq=False, slots=True)
class JSMap(Native):
    """``new Map()``, in the order of insertion."""

    pairs: list[list[object]] = field(default_factory=list)

    def call_method(self, name: str, call: Call) -> object:
        """Set, get or iterate."""
        if name == "set":
            self.pairs.append([call.argument(0), call.argument(1)])
            return self
        if name == "get":
            key = call.argument(0)
            return next((pair[1] for pair in self.pairs if pair[0] == key), UNKNOWN)
        if name == "forEach":
            callback = call.argument(0)
            for key, value in list(self.pairs):
                call.evaluator.apply(callback, [value, key, self])
        parts = {"entries": list(self.pairs), "keys": [p[0] for p in self.pairs], "values": [p[1] for p in self.pairs]}
        return parts.get(name, UNKNOWN)
