"""The values of comprehensions over what is known."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from preview.endpoints.python.truth import truth
from preview.endpoints.python.values import UNKNOWN, Scope

if TYPE_CHECKING:
    from preview.endpoints.python.interpreter import Interpreter

__all__ = ["evaluate_comprehension"]

_MAX_ITEMS: Final = 1_000

_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
_Bind = Callable[[ast.expr, object, Scope], None]


def evaluate_comprehension(node: _Comprehension, scope: Scope, interpreter: Interpreter, bind: _Bind) -> object:
    """A list or a dictionary; ``UNKNOWN`` where what it goes over is not known. A set is a list, each item once.

    Args:
        node: The expression.
        scope: Where it stands.
        interpreter: Gives the values of what is inside.
        bind: Binds a target to a value.
    """
    inner = Scope(scope.file, parent=scope)
    if interpreter.elements(interpreter.evaluate(node.generators[0].iter, scope)) is None:
        return UNKNOWN
    if isinstance(node, ast.DictComp):
        mapping: dict[object, object] = {}
        for _ in _rounds(node.generators, inner, interpreter, bind):
            key = interpreter.evaluate(node.key, inner)
            if isinstance(key, (str, int)):
                mapping[key] = interpreter.evaluate(node.value, inner)
        return mapping
    values: list[object] = []
    for _ in _rounds(node.generators, inner, interpreter, bind):
        value = interpreter.evaluate(node.elt, inner)
        if not isinstance(node, ast.SetComp) or value not in values:
            values.append(value)
        if len(values) >= _MAX_ITEMS:
            break
    return values


def _rounds(generators: list[ast.comprehension], scope: Scope, interpreter: Interpreter, bind: _Bind) -> Iterator[None]:
    if not generators:
        yield
        return
    first, *rest = generators
    for value in (interpreter.elements(interpreter.evaluate(first.iter, scope)) or [])[:_MAX_ITEMS]:
        bind(first.target, value, scope)
        if all(truth(interpreter.evaluate(test, scope)) is not False for test in first.ifs):
            yield from _rounds(rest, scope, interpreter, bind)
