"""The values of expressions that call nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable

from preview.endpoints.python.values import UNKNOWN, Expression, Scope

__all__ = ["Evaluate", "evaluate_plain"]

# A constant that doubles itself in a loop must not fill the memory.
_MAX_LENGTH = 100_000

Evaluate = Callable[[ast.expr | None, Scope], object]


def evaluate_plain(node: ast.expr, scope: Scope, evaluate: Evaluate) -> object:
    """The value of a constant, name, container or operation; ``UNKNOWN`` for any other kind.

    Args:
        node: The expression.
        scope: Where names are looked up.
        evaluate: Gives the values of what is inside.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return scope.find(node.id)
        case ast.List() | ast.Tuple() | ast.Set():
            return _sequence(node.elts, scope, evaluate)
        case ast.Dict():
            return _mapping(node, scope, evaluate)
        case ast.BinOp():
            return _binary(node, scope, evaluate)
        case ast.JoinedStr():
            return _joined(node, scope, evaluate)
        case ast.BoolOp():
            values = [evaluate(value, scope) for value in node.values]
            return next((value for value in values if value is not UNKNOWN and value is not None), UNKNOWN)
        case ast.IfExp():
            value = evaluate(node.body, scope)
            return value if value is not UNKNOWN else evaluate(node.orelse, scope)
        case ast.Subscript():
            return _subscript(node, scope, evaluate)
        case ast.Await():
            return evaluate(node.value, scope)
        case _:
            return UNKNOWN


def _sequence(elements: list[ast.expr], scope: Scope, evaluate: Evaluate) -> list[object]:
    values: list[object] = []
    for element in elements:
        if isinstance(element, ast.Starred):
            inner = evaluate(element.value, scope)
            values += inner if isinstance(inner, list) and len(values) + len(inner) <= _MAX_LENGTH else []
        else:
            values.append(evaluate(element, scope))
    return values


def _mapping(node: ast.Dict, scope: Scope, evaluate: Evaluate) -> dict[object, object]:
    keys = [evaluate(key, scope) for key in node.keys]
    values = [evaluate(value, scope) for value in node.values]
    return {key: value for key, value in zip(keys, values, strict=True) if isinstance(key, (str, int))}


def _binary(node: ast.BinOp, scope: Scope, evaluate: Evaluate) -> object:
    if isinstance(node.op, ast.BitOr):
        return Expression(node, scope)
    if not isinstance(node.op, ast.Add):
        return UNKNOWN
    left, right = evaluate(node.left, scope), evaluate(node.right, scope)
    if isinstance(left, str) and isinstance(right, str) and len(left) + len(right) <= _MAX_LENGTH:
        return left + right
    if isinstance(left, list) and isinstance(right, list) and len(left) + len(right) <= _MAX_LENGTH:
        return left + right
    return UNKNOWN


def _joined(node: ast.JoinedStr, scope: Scope, evaluate: Evaluate) -> object:
    parts: list[str] = []
    for part in node.values:
        value = evaluate(part.value if isinstance(part, ast.FormattedValue) else part, scope)
        # Numbers beyond this cannot be written out (sys.set_int_max_str_digits), and are no part of a path.
        if isinstance(value, bool) or not isinstance(value, (str, int)) or (isinstance(value, int) and value > 10**9):
            return UNKNOWN
        parts.append(str(value))
    return "".join(parts) if sum(map(len, parts)) <= _MAX_LENGTH else UNKNOWN


def _subscript(node: ast.Subscript, scope: Scope, evaluate: Evaluate) -> object:
    value = evaluate(node.value, scope)
    index = evaluate(node.slice, scope) if isinstance(value, (dict, list)) else UNKNOWN
    if isinstance(value, dict):
        return value.get(index, UNKNOWN) if isinstance(index, (str, int)) else UNKNOWN
    if isinstance(value, list):
        return value[index] if isinstance(index, int) and -len(value) <= index < len(value) else UNKNOWN
    return Expression(node, scope)
