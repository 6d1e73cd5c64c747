"""Expressions that name Flask's configuration: in ``app.config.from_object(name)``, or a function that calls it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Final

from preview.detection.expressions import last_name
from preview.detection.project_imports import Nodes

_FROM_OBJECT: Final = "from_object"


class ConfigObjects:
    """The functions that read Flask's configuration from an argument, ``from_object`` and those of the project."""

    def __init__(self, nodes: Nodes, files: Iterable[str]) -> None:
        self._taken: set[tuple[str, int | str]] = {(_FROM_OBJECT, 0), (_FROM_OBJECT, "obj")}
        for file in files:
            if _FROM_OBJECT.encode() in nodes.sources.text(file):
                self._taken.update(taken for node in nodes.all(file) for taken in _taken_by(node))

    def among(self, nodes: Iterable[ast.AST]) -> frozenset[ast.expr]:
        """Return the expressions among the nodes of a file that are such arguments."""
        return frozenset(one for node in nodes if isinstance(node, ast.Call) for one in self._given(node))

    def _given(self, call: ast.Call) -> Iterator[ast.expr]:
        name = last_name(call.func)
        yield from (one for at, one in enumerate(call.args) if (name, at) in self._taken)
        yield from (one.value for one in call.keywords if one.arg and (name, one.arg) in self._taken)


def _taken_by(node: ast.AST) -> Iterator[tuple[str, int | str]]:
    """Yield the arguments of a function that it passes on to ``from_object``: by position, and by name."""
    if not isinstance(node, ast.FunctionDef):
        return
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call) and last_name(one.func) == _FROM_OBJECT]
    passed = {one.args[0].id for one in calls if one.args and isinstance(one.args[0], ast.Name)}
    arguments = [*node.args.posonlyargs, *node.args.args]
    of_class = int(bool(arguments) and arguments[0].arg in {"self", "cls"})
    for at, argument in enumerate(arguments[of_class:]):
        if argument.arg in passed:
            yield node.name, at
            yield node.name, argument.arg
