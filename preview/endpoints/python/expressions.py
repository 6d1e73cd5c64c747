"""Evaluation of expressions without calls."""

from __future__ import annotations

import ast
from collections.abc import Callable

from preview.endpoints.names import UNKNOWN
from preview.endpoints.python.members import PathValue, call_os_path
from preview.endpoints.python.methods import MAX_LENGTH
from preview.endpoints.python.truth import Native, compare, truth
from preview.endpoints.python.values import Expression, Function, Scope

Evaluate = Callable[[ast.expr | None, Scope], object]


def evaluate_plain(node: ast.expr, scope: Scope, evaluate: Evaluate) -> object:
    """Evaluate a constant, name, container or operation; ``UNKNOWN`` for any other kind."""
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
            return _boolean(node, scope, evaluate)
        case ast.IfExp():
            return _either(node, scope, evaluate)
        case ast.Compare():
            return compare(node.ops, [evaluate(item, scope) for item in (node.left, *node.comparators)])
        case ast.UnaryOp():
            return _unary(node, evaluate(node.operand, scope))
        case ast.Subscript():
            return _subscript(node, scope, evaluate)
        case ast.Lambda():
            return _function(node, scope)
        case ast.Await():
            return evaluate(node.value, scope)
        case _:
            return UNKNOWN


def _boolean(node: ast.BoolOp, scope: Scope, evaluate: Evaluate) -> object:
    values = [evaluate(value, scope) for value in node.values]
    decides = isinstance(node.op, ast.Or)
    sure = True
    for value in values:
        answer = truth(value)
        if answer is decides and (sure or decides):
            return value
        sure = sure and answer is not None
    if sure:
        return values[-1]
    if not decides:
        # One false operand makes `and` false, whatever the unknown operands are.
        return False if any(truth(value) is False for value in values) else UNKNOWN
    return UNKNOWN


def _either(node: ast.IfExp, scope: Scope, evaluate: Evaluate) -> object:
    answer = truth(evaluate(node.test, scope))
    if answer is not None:
        return evaluate(node.body if answer else node.orelse, scope)
    value = evaluate(node.body, scope)
    return value if value is not UNKNOWN else evaluate(node.orelse, scope)


def _unary(node: ast.UnaryOp, value: object) -> object:
    if isinstance(node.op, ast.Not):
        answer = truth(value)
        return UNKNOWN if answer is None else not answer
    return -value if isinstance(node.op, ast.USub) and isinstance(value, (int, float)) else UNKNOWN


def _function(node: ast.Lambda, scope: Scope) -> Function:
    body = ast.copy_location(ast.Return(node.body), node)
    function = ast.FunctionDef("lambda", node.args, [body], [])
    return Function(ast.copy_location(function, node), scope)


def _sequence(elements: list[ast.expr], scope: Scope, evaluate: Evaluate) -> list[object]:
    values: list[object] = []
    for element in elements:
        if isinstance(element, ast.Starred):
            inner = evaluate(element.value, scope)
            # An unknown part counts as one unknown value, so that nobody takes the list for complete.
            known = inner if isinstance(inner, list) else [UNKNOWN]
            values += known if len(values) + len(known) <= MAX_LENGTH else []
        else:
            values.append(evaluate(element, scope))
    return values


def _mapping(node: ast.Dict, scope: Scope, evaluate: Evaluate) -> dict[object, object]:
    found: dict[object, object] = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        key, value = evaluate(key_node, scope), evaluate(value_node, scope)
        if key_node is None:
            found |= value if isinstance(value, dict) and len(found) + len(value) <= MAX_LENGTH else {}
        elif isinstance(key, (str, int)):
            found[key] = value
    return found


def _binary(node: ast.BinOp, scope: Scope, evaluate: Evaluate) -> object:
    if isinstance(node.op, ast.BitOr):
        return Expression(node, scope)
    left, right = evaluate(node.left, scope), evaluate(node.right, scope)
    if isinstance(node.op, ast.Div) and isinstance(left, PathValue):
        return PathValue.of(call_os_path("os.path.join", [left, right]))
    if isinstance(node.op, ast.Sub) and isinstance(left, list) and isinstance(right, list):
        return [item for item in left if item not in right] if len(left) * len(right) <= MAX_LENGTH else UNKNOWN
    if isinstance(node.op, ast.Mod) and isinstance(left, str):
        return _filled(left, right if isinstance(right, list) else [right])
    if not isinstance(node.op, ast.Add):
        return UNKNOWN
    if isinstance(left, str) and isinstance(right, str) and len(left) + len(right) <= MAX_LENGTH:
        return left + right
    return joined_lists(left, right)


def joined_lists(left: object, right: object) -> object:
    """Evaluate ``left + right`` for lists; an operand that is none counts as one element of the result."""
    if not isinstance(left, list) and not isinstance(right, list):
        return UNKNOWN
    parts = [item if isinstance(item, list) else [item] for item in (left, right)]
    return parts[0] + parts[1] if len(parts[0]) + len(parts[1]) <= MAX_LENGTH else UNKNOWN


def _joined(node: ast.JoinedStr, scope: Scope, evaluate: Evaluate) -> object:
    parts: list[str] = []
    for part in node.values:
        value = evaluate(part.value if isinstance(part, ast.FormattedValue) else part, scope)
        # Python refuses to print huge numbers (sys.set_int_max_str_digits), and no path has numbers above this limit.
        if isinstance(value, bool) or not isinstance(value, (str, int)) or (isinstance(value, int) and value > 10**9):
            return UNKNOWN
        parts.append(str(value))
    return "".join(parts) if sum(map(len, parts)) <= MAX_LENGTH else UNKNOWN


def _filled(text: str, values: list[object]) -> object:
    """Evaluate ``"/%s/items" % version`` for strings and small numbers."""
    parts = text.replace("%d", "%s").split("%s")
    known = [str(item) for item in values if isinstance(item, str) or (type(item) is int and abs(item) < 10**9)]
    if len(known) != len(values) or len(parts) != len(known) + 1 or any("%" in part for part in parts):
        return UNKNOWN
    found = "".join(part + value for part, value in zip(parts, [*known, ""], strict=True))
    return found if len(found) <= MAX_LENGTH else UNKNOWN


def _slice(value: str | list[object], node: ast.Slice, scope: Scope, evaluate: Evaluate) -> object:
    bounds = [None if part is None else evaluate(part, scope) for part in (node.lower, node.upper, node.step)]
    known = [item for item in bounds if item is None or (type(item) is int and item != 0) or item == 0]
    numbers = [item if isinstance(item, int) else None for item in known]
    if len(known) != 3 or numbers[2] == 0:
        return UNKNOWN
    return value[slice(*numbers)]


def _subscript(node: ast.Subscript, scope: Scope, evaluate: Evaluate) -> object:
    value = evaluate(node.value, scope)
    if isinstance(value, (str, list)) and isinstance(node.slice, ast.Slice):
        return _slice(value, node.slice, scope, evaluate)
    if isinstance(value, Native):
        return value.item(evaluate(node.slice, scope))
    index = evaluate(node.slice, scope) if isinstance(value, (dict, list)) else UNKNOWN
    if isinstance(value, dict):
        return value.get(index, UNKNOWN) if isinstance(index, (str, int)) else UNKNOWN
    if isinstance(value, list):
        return value[index] if isinstance(index, int) and -len(value) <= index < len(value) else UNKNOWN
    return Expression(node, scope)
