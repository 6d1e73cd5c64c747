"""Whether a condition is known to hold."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from preview.endpoints.names import UNKNOWN
from preview.endpoints.python.native import Native
from preview.endpoints.python.values import Class, Function, Instance, Module

_PLAIN: Final = (str, int, float, bool, list, dict, type(None))


def truth(value: object) -> bool | None:
    """Whether a value counts as true; None where that is not known."""
    if isinstance(value, _PLAIN):
        return bool(value)
    return True if isinstance(value, (Native, Class, Function, Instance, Module)) else None


def compare(operators: Sequence[ast.cmpop], values: Sequence[object]) -> object:
    """``a < b < c``; ``UNKNOWN`` where one of the values is not known.

    Args:
        operators: One fewer than values.
        values: From left to right.
    """
    answers = [
        _compare_two(operator, left, right)
        for operator, left, right in zip(operators, values, values[1:], strict=False)
    ]
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
