"""The evaluator's interface for frameworks, and the truth of conditions."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from preview.endpoints.names import UNKNOWN, External, Unread
from preview.endpoints.python.values import Class, Function, Instance, Module, Scope

if TYPE_CHECKING:
    from preview.endpoints.python.evaluator import PythonEvaluator


class WouldRaise(Exception):
    """A framework knows that this statement raises. Raise only within a ``try`` of the project (``trying``)."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it stands in the source.

    Attributes:
        arguments: Values of the positional arguments; ``*`` arguments are expanded as far as they are known.
        named: Values of the keyword arguments; ``**`` arguments are expanded as far as they are known.
        evaluator: Evaluates further expressions if a value must be followed.
    """

    node: ast.Call
    arguments: Sequence[object]
    named: dict[str, object]
    scope: Scope
    evaluator: PythonEvaluator = field(repr=False)

    def argument(self, position: int, name: str, default: object = UNKNOWN) -> object:
        """Return the value given by position or by name."""
        if name in self.named:
            return self.named[name]
        return self.arguments[position] if len(self.arguments) > position else default

    def unread(self, what: str) -> Unread:
        """Return a note that this call registers something that is not known from the source."""
        return Unread(self.scope.file, self.node.lineno, what)

    def text(self, position: int, name: str, default: str = "") -> str:
        """Return the argument like ``argument``; an empty string if the value is not text."""
        value = self.argument(position, name, default)
        return value if isinstance(value, str) else default


class Native:
    """An object of a framework (a router, a blueprint). By default every result is ``UNKNOWN``."""

    __slots__ = ()

    def attribute(self, name: str) -> object:  # noqa: ARG002
        """Evaluate ``object.name``; ``UNKNOWN`` if the attribute is not known."""
        return UNKNOWN

    def set_attribute(self, name: str, value: object) -> None:
        """Execute ``object.name = value``."""

    def item(self, key: object) -> object:  # noqa: ARG002
        """Evaluate ``object[key]``."""
        return UNKNOWN

    def set_item(self, key: object, value: object) -> None:
        """Execute ``object[key] = value``."""

    def elements(self) -> list[object] | None:
        """Return the elements that a loop over this object would yield; None if unknown."""
        return None

    def own_class(self) -> Class | None:
        """Return the project's class of this object, if any; its methods and attributes come first."""
        return None

    def adopt(self, cls: Class) -> None:
        """Note that the object was made from a project's class that inherits from the framework's."""

    def call_method(self, name: str, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``object.name(…)``."""
        return UNKNOWN

    def call(self, call: Call) -> object:  # noqa: ARG002
        """Evaluate ``object(…)``; as a decorator, the function or class is the only argument."""
        return UNKNOWN

    def decorate(self, target: object) -> object:  # noqa: ARG002
        """Apply ``@object`` to a function or class; return the new value of the name (``UNKNOWN``: unchanged)."""
        return UNKNOWN


@dataclass(eq=False, slots=True)
class Extensible(Native):
    """An object of a framework's class that projects subclass.

    Attributes:
        cls: The project's subclass of this object; None for the framework's own class.
    """

    cls: Class | None = field(default=None, kw_only=True)

    def own_class(self) -> Class | None:
        """Return the project's subclass."""
        return self.cls

    def adopt(self, cls: Class) -> None:
        """Note the project's class that the object was made from."""
        self.cls = cls


class Framework(Protocol):
    """Interface between the evaluator and a framework, for external names."""

    def is_constructor(self, value: External) -> bool:
        """Return whether a call of the name, or of a class that inherits from it, makes an object of the framework."""
        ...

    def construct(self, callee: External, call: Call) -> object:
        """Return the result of an external call; ``UNKNOWN`` if it does not matter."""
        ...

    def starred(self, module: str) -> Sequence[str]:
        """Return the names that ``from module import *`` binds, as far as they matter."""
        ...


_PLAIN: Final = (str, int, float, bool, list, dict, type(None))


def truth(value: object) -> bool | None:
    """Return whether a value counts as true; None if unknown."""
    if isinstance(value, _PLAIN):
        return bool(value)
    return True if isinstance(value, (Native, Class, Function, Instance, Module)) else None


def compare(operators: Sequence[ast.cmpop], values: Sequence[object]) -> object:
    """Evaluate ``a < b < c``; ``UNKNOWN`` if one of the values is unknown."""
    answers = list(map(_compare_two, operators, values, values[1:]))
    if False in answers:
        return False
    return UNKNOWN if UNKNOWN in answers else True


def _compare_two(operator: ast.cmpop, left: object, right: object) -> object:
    if isinstance(operator, (ast.Is, ast.IsNot)):
        return _is(operator, left, right)
    if not isinstance(left, _PLAIN) or not isinstance(right, _PLAIN):
        return UNKNOWN
    try:
        return _ordered(operator, left, right)
    except (TypeError, RecursionError):
        return UNKNOWN


def _is(operator: ast.cmpop, left: object, right: object) -> object:
    known = isinstance(left, (*_PLAIN, Native, Class, Function, Instance, Module))
    if not known or not isinstance(right, (bool, type(None))):
        return UNKNOWN
    return (left is right) == isinstance(operator, ast.Is)


def _ordered(operator: ast.cmpop, left: object, right: object) -> object:
    match operator, left, right:
        case ast.Eq(), _, _:
            return left == right
        case ast.NotEq(), _, _:
            return left != right
        case ast.In(), _, str() | list() | dict():
            return _contains(left, right)
        case ast.NotIn(), _, str() | list() | dict():
            inside = _contains(left, right)
            return inside if inside is UNKNOWN else not inside
        case ast.Lt(), int() | float(), int() | float():
            return left < right
        case ast.Gt(), int() | float(), int() | float():
            return left > right
        case ast.LtE(), int() | float(), int() | float():
            return left <= right
        case ast.GtE(), int() | float(), int() | float():
            return left >= right
    return UNKNOWN


def _contains(left: object, right: str | list[object] | dict[object, object]) -> object:
    if isinstance(right, str):
        return left in right if isinstance(left, str) else UNKNOWN
    if isinstance(right, list):
        return True if left in right else UNKNOWN if UNKNOWN in right else False
    return left in right if isinstance(left, (str, int)) else UNKNOWN
