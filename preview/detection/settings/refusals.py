"""What a program refuses to go on without: names whose emptiness ends it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from preview.detection.expressions import last_name


def refused_names(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names whose emptiness ends the program: ``if not KEY: raise …``, ``assert KEY``."""
    for node in nodes:
        if isinstance(node, ast.Assert):
            yield from _asserted(node.test)
        elif isinstance(node, ast.If) and raises(node.body):
            yield from _empty(node.test)


def _asserted(test: ast.expr) -> Iterator[str]:
    """``assert KEY``, ``assert KEY is not None``."""
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot | ast.NotEq):
        yield last_name(test.left)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        for value in test.values:
            yield from _asserted(value)
    else:
        yield last_name(test)


def _empty(test: ast.expr) -> Iterator[str]:
    """``not KEY``, ``KEY is None``, ``len(KEY) < 32``, several of them with ``or``."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        for value in test.values:
            yield from _empty(value)
    elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        # `not all([A, B])`
        members = test.operand.args[0] if isinstance(test.operand, ast.Call) and test.operand.args else test.operand
        yield from (
            last_name(item) for item in (members.elts if isinstance(members, ast.List | ast.Tuple) else [members])
        )
    elif isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.Eq | ast.Lt):
        left = test.left.args[0] if isinstance(test.left, ast.Call) and test.left.args else test.left
        yield last_name(left)


def raises(body: Iterable[ast.AST]) -> bool:
    """Whether something in there raises, or ends the program."""
    for node in body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Raise):
                return True
            if isinstance(inner, ast.Call) and last_name(inner.func) in {"exit", "_exit", "abort"}:
                return True
    return False
