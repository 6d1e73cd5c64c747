"""Operators on values, as far as both operands are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from preview.endpoints.javascript.natives import Native
from preview.endpoints.javascript.values import Class, Function, JSObject, Made, Regex
from preview.endpoints.names import UNKNOWN, External

# Limits memory when a loop doubles a string again and again.
MAX_LENGTH: Final = 100_000
_MAX_NUMBER: Final = 2**53
# Names that code compares the environment's name with. A preview is in none of these environments.
_ELSEWHERE: Final = frozenset({"production", "prod", "test", "testing", "staging"})
_HERE: Final = frozenset({"development", "dev", "local"})

Number = int | float


def truth(value: object) -> bool | None:
    """Return whether a condition holds; None if unknown."""
    if value is UNKNOWN or isinstance(value, Made):
        return None
    if isinstance(value, External):
        # A package is there. One of its names may be a flag.
        return None if "." in value.name else True
    if isinstance(value, (list, JSObject, Function, Class, Native, Regex)):
        return True
    return bool(value)


def as_text(value: object) -> str | None:
    """Return the value's text within a string; None if unknown."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _MAX_NUMBER else repr(value)
    return None


def binary(operator: str, left: object, right: object) -> object:
    """Evaluate ``left operator right``; ``UNKNOWN`` if the result depends on an unknown value."""
    if operator in {"===", "==", "!==", "!="}:
        equal = _equal(left, right)
        return UNKNOWN if equal is None else equal is (operator in {"===", "=="})
    if operator == "+":
        return _add(left, right)
    if operator == "in" and isinstance(left, str) and isinstance(right, JSObject):
        return left in right.names
    calculate = _ARITHMETIC.get(operator)
    if calculate is None or not (_is_number(left) and _is_number(right)):
        return UNKNOWN
    try:
        found = calculate(left, right)
    except (ArithmeticError, ValueError):
        return UNKNOWN
    return found if isinstance(found, bool) or (_is_number(found) and abs(found) < _MAX_NUMBER) else UNKNOWN


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_ARITHMETIC: Final[dict[str, Callable[..., Number]]] = {
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": lambda left, right: left % right,
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
}


def _add(left: object, right: object) -> object:
    if isinstance(left, str) or isinstance(right, str):
        first, second = as_text(left), as_text(right)
        if first is None or second is None or len(first) + len(second) > MAX_LENGTH:
            return UNKNOWN
        return first + second
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        total = left + right
        return total if abs(total) < _MAX_NUMBER else UNKNOWN
    return UNKNOWN


def _equal(left: object, right: object) -> bool | None:
    for one, other in ((left, right), (right, left)):
        if (one is UNKNOWN or isinstance(one, Made)) and isinstance(other, str):
            return False if other in _ELSEWHERE else True if other in _HERE else None
    if any(value is UNKNOWN or isinstance(value, (Made, External)) for value in (left, right)):
        return None
    if isinstance(left, (str, int, float, bool, type(None))) and isinstance(right, (str, int, float, bool, type(None))):
        return left == right
    return left is right


def type_of(value: object) -> object:
    """Evaluate ``typeof value``."""
    if value is UNKNOWN or isinstance(value, (Made, External)):
        return UNKNOWN
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float)):
        return "number"
    if value is None:
        return "undefined"
    return "function" if isinstance(value, (Function, Class, Native)) else "object"
