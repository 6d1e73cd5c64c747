"""Put the project's own functions and names into the value of ``DATABASES``, as far as static reading can tell."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preview.detection.databases.branches import RETURN, Branches

# Nodes of one value; names within names; values of one name. Settings modules have some tens, three and two.
_MOST_NODES: Final = 4_000
_MOST_DEEP: Final = 8
_MOST_VALUES: Final = 12


class Module:
    """Names and functions of one module.

    Args:
        tree: The module.
        branches: Its conditions in the preview.
    """

    def __init__(self, tree: ast.Module, branches: Branches) -> None:
        self.branches = branches
        self._values: dict[tuple[str, str], list[ast.expr]] = {}
        self.functions = {node.name: node for node in _statements(tree.body) if isinstance(node, ast.FunctionDef)}
        self.imported = {
            alias.asname or alias.name: (node.module or "", alias.name)
            for node in _statements(tree.body)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }

    def values(self, name: str, function: ast.FunctionDef | None = None) -> list[ast.expr]:
        """Return what may be assigned to a name in the module, or in one of its functions."""
        key = (name, "" if function is None else function.name)
        if key not in self._values:
            found = self.branches.statements(name, None if function is None else function.body)
            self._values[key] = [value for one in found[-_MOST_VALUES:] if (value := one.value) is not None]
        return self._values[key]


@dataclass(frozen=True)
class _Scope:
    """Scope of a name: a function's arguments and variables first, then the module's."""

    module: Module
    function: ast.FunctionDef | None = None
    arguments: Mapping[str, ast.expr] | None = None


class Assembler:
    """Replaces names by their values, and calls of the project's own functions by the values that they return.

    Args:
        find: Returns a project's module by its dotted name as written in an import; None if there is none.
    """

    def __init__(self, find: Callable[[str], Module | None]) -> None:
        self._find = find
        self._left = _MOST_NODES

    def assemble(self, value: ast.expr, module: Module) -> ast.expr:
        """Return the value with all that is known put in; several possible values become a tuple.

        The given nodes are not changed. What is too deep or too large stays as it is.
        """
        self._left = _MOST_NODES
        try:
            return self._put_in(value, _Scope(module), 0)
        except RecursionError:
            return value

    def _put_in(self, node: ast.expr, scope: _Scope, deep: int) -> ast.expr:
        self._left -= 1
        if self._left <= 0 or deep > _MOST_DEEP:
            return node
        match node:
            case ast.Name():
                return self._named(node, scope, deep)
            case ast.Call(func=ast.Name(id=name)) if (called := self._function(name, scope.module)) is not None:
                return self._called(node, *called, scope, deep)
            case ast.Call():
                # The function itself (`env.db`) stays as it is written.
                given = [self._put_in(one, scope, deep) for one in node.args]
                named = [ast.keyword(one.arg, self._put_in(one.value, scope, deep)) for one in node.keywords]
                return ast.copy_location(ast.Call(node.func, given, named), node)
            case ast.IfExp():
                told = scope.module.branches.is_true(node.test)
                if told is not None:
                    return self._put_in(node.body if told else node.orelse, scope, deep)
        return self._copied(node, scope, deep)

    def _copied(self, node: ast.expr, scope: _Scope, deep: int) -> ast.expr:
        """Return the node with its inner expressions put in; of ``a.b``, ``a`` stays as it is."""
        if isinstance(node, ast.Attribute | ast.Constant | ast.Lambda):
            return node
        made = copy.copy(node)
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr):
                value = self._put_in(value, scope, deep)  # noqa: PLW2901  the field's new value
            elif isinstance(value, list):
                value = [self._put_in(one, scope, deep) if isinstance(one, ast.expr) else one for one in value]  # noqa: PLW2901
            setattr(made, field, value)
        return made

    def _named(self, node: ast.Name, scope: _Scope, deep: int) -> ast.expr:
        name = node.id
        if scope.arguments is not None and name in scope.arguments:
            return scope.arguments[name]
        for inner in (scope, _Scope(scope.module)):
            if values := inner.module.values(name, inner.function):
                return self._several(values, inner, deep, node)
        written, original = scope.module.imported.get(name, ("", ""))
        module = self._find(written) if written else None
        values = module.values(original) if module is not None else []
        return self._several(values, _Scope(module), deep, node) if module is not None and values else node

    def _function(self, name: str, module: Module) -> tuple[ast.FunctionDef, Module] | None:
        if name in module.functions:
            return module.functions[name], module
        written, original = module.imported.get(name, ("", ""))
        other = self._find(written) if written else None
        return (other.functions[original], other) if other is not None and original in other.functions else None

    def _called(self, node: ast.Call, function: ast.FunctionDef, module: Module, scope: _Scope, deep: int) -> ast.expr:
        arguments = {name: self._put_in(value, scope, deep + 1) for name, value in _arguments(node, function).items()}
        inner = _Scope(module, function, arguments)
        return self._several(module.values(RETURN, function), inner, deep, node)

    def _several(self, values: Sequence[ast.expr], scope: _Scope, deep: int, instead: ast.expr) -> ast.expr:
        known = [self._put_in(value, scope, deep + 1) for value in values]
        if not known:
            return instead
        return known[0] if len(known) == 1 else ast.copy_location(ast.Tuple(known, ast.Load()), instead)


def _arguments(node: ast.Call, function: ast.FunctionDef) -> dict[str, ast.expr]:
    """Return the values of a call's parameters: as given, else their defaults."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    defaults = function.args.defaults
    found = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    for one, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
        if value is not None:
            found[one.arg] = value
    found |= dict(zip(names, node.args, strict=False))
    return found | {one.arg: one.value for one in node.keywords if one.arg is not None}


def _statements(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """Return the statements of a module, with those in ``if`` and ``try``."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, ast.If | ast.Try):
            found += [*node.body, *node.orelse]
    return found
