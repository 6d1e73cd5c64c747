"""What a framework plugs into the interpreter: its own objects, and what calling its names gives."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from preview.endpoints.python.values import UNKNOWN, External, Scope

if TYPE_CHECKING:
    from preview.endpoints.python.interpreter import Interpreter

__all__ = ["Call", "Framework", "Native"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it stands in the source.

    Attributes:
        node: The expression.
        arguments: Values of the positional arguments, those behind ``*`` left out.
        named: Values of the keyword arguments.
        scope: Where it stands.
        interpreter: Reads on, where a value must be followed.
    """

    node: ast.Call
    arguments: Sequence[object]
    named: dict[str, object]
    scope: Scope
    interpreter: Interpreter = field(repr=False)

    def argument(self, position: int, name: str, default: object = UNKNOWN) -> object:
        """The value given by position or by name."""
        if name in self.named:
            return self.named[name]
        return self.arguments[position] if len(self.arguments) > position else default

    def text(self, position: int, name: str, default: str = "") -> str:
        """As ``argument``, where only text makes sense."""
        value = self.argument(position, name, default)
        return value if isinstance(value, str) else default


class Native:
    """An object of a framework (a router, a blueprint). By default it knows nothing."""

    __slots__ = ()

    def attribute(self, name: str) -> object:  # noqa: ARG002
        """``object.name``; ``UNKNOWN`` for what is not known."""
        return UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """``object.name = value``."""

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """``object.name(…)``."""
        return UNKNOWN

    def call(self, call: Call) -> object:  # noqa: ARG002
        """``object(…)``; ``object`` as a decorator gets the function or class as its one argument."""
        return UNKNOWN

    def decorate(self, target: object) -> object:  # noqa: ARG002
        """``@object`` above a function or class; what the name then stands for (``UNKNOWN``: the target itself)."""
        return UNKNOWN


class Framework(Protocol):
    """What the interpreter asks when the project's code meets a name from outside."""

    def is_constructor(self, value: External) -> bool:
        """Whether calling it, or a class that inherits from it, gives one of the framework's objects."""
        ...

    def construct(self, callee: External, call: Call) -> object:
        """What calling something from outside gives; ``UNKNOWN`` for all that does not matter."""
        ...

    def starred(self, module: str) -> Sequence[str]:
        """The names that ``from module import *`` brings, as far as they matter."""
        ...
