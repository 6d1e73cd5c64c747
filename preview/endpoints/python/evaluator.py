"""Evaluates modules as Python would run them, as far as routes need it, without running them.

The evaluator follows assignments, imports, calls of the project's functions (factories, ``register_routes(app)``) and
plain loops over literal values. Everything else is ``UNKNOWN``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from preview.endpoints.budget import Budget
from preview.endpoints.names import UNKNOWN
from preview.endpoints.python.calls import Calls
from preview.endpoints.python.expressions import evaluate_plain
from preview.endpoints.python.imports import Importer
from preview.endpoints.python.members import Members
from preview.endpoints.python.methods import items_of
from preview.endpoints.python.statements import Statements
from preview.endpoints.python.truth import Framework, truth
from preview.endpoints.python.values import Function, Module, Scope
from preview.sources import Sources
from preview.sources.environment import env_values, own_env_values

_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})


class Variables:
    """Variables of the project's ``.env`` files, which are read on first use.

    Args:
        folder: The ``.env`` files of this folder come before those of the project's root.
    """

    def __init__(self, sources: Sources, folder: str) -> None:
        self._sources = sources
        self._folder = folder

    def get(self, name: str) -> object:
        """Return the variable's value in any of the files, examples too; ``UNKNOWN`` if absent."""
        return self._all.get(name, UNKNOWN)

    def setting(self, name: str, default: str | int | None) -> object:
        """Return a pydantic setting: ``.env`` overrides the code's default.

        Args:
            name: The field's name; the variable's name may be in upper case.
            default: The default in the code. An ``int`` default is kept even if ``.env`` sets the variable.
        """
        given = self._own.get(name, self._own.get(name.upper()))
        if given is None:
            return default
        if isinstance(default, bool):
            return given.lower() in _TRUE
        return default if isinstance(default, int) else given

    @cached_property
    def _all(self) -> dict[str, str]:
        return env_values(self._sources, self._folder)

    @cached_property
    def _own(self) -> dict[str, str]:
        return own_env_values(self._sources, self._folder)


_MAX_ITEMS: Final = 1_000

_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def evaluate_comprehension(node: _Comprehension, scope: Scope, evaluator: PythonEvaluator) -> object:
    """Return a list or a dictionary; ``UNKNOWN`` for an unknown source. A set is a list without repeats."""
    inner = Scope(scope.file, parent=scope)
    if items_of(evaluator.evaluate(node.generators[0].iter, scope)) is None:
        return UNKNOWN
    if isinstance(node, ast.DictComp):
        mapping: dict[object, object] = {}
        for _ in _rounds(node.generators, inner, evaluator):
            key = evaluator.evaluate(node.key, inner)
            if isinstance(key, (str, int)):
                mapping[key] = evaluator.evaluate(node.value, inner)
        return mapping
    values: list[object] = []
    for _ in _rounds(node.generators, inner, evaluator):
        value = evaluator.evaluate(node.elt, inner)
        if not isinstance(node, ast.SetComp) or value not in values:
            values.append(value)
        if len(values) >= _MAX_ITEMS:
            break
    return values


def _rounds(generators: list[ast.comprehension], scope: Scope, evaluator: PythonEvaluator) -> Iterator[None]:
    if not generators:
        yield
        return
    first, *rest = generators
    for value in (items_of(evaluator.evaluate(first.iter, scope)) or [])[:_MAX_ITEMS]:
        evaluator.bind(first.target, value, scope)
        if all(truth(evaluator.evaluate(test, scope)) is not False for test in first.ifs):
            yield from _rounds(rest, scope, evaluator)


# Deeper than any real code. Each level takes a few Python frames of the default limit of 1000.
_MAX_DEPTH: Final = 60
# Recursion limit: routes need no more, and a function that calls itself twice would take very long.
_MAX_RECURSION: Final = 4
# The cost of a call, in addition to its statements.
_CALL_STEPS: Final = 5


class PythonEvaluator:
    """Evaluates the modules of one project.

    Args:
        app_dir: The folder that absolute imports are relative to, itself relative to the project; ``.`` for its root.
        budget: Shared by all evaluators of the same project.
        roots: Further import roots (``sys.path``), after ``app_dir``.

    Attributes:
        variables: The variables of the project's ``.env`` files.
        outside: Maps a full external name (``django.conf.settings``) to its value, if the value is known.
        step: Counts one more step of reading; raises ``OutOfBudget`` if no step is left.
    """

    def __init__(
        self, sources: Sources, app_dir: str, budget: Budget, framework: Framework, roots: Sequence[str] = ()
    ) -> None:
        self.sources = sources
        self.outside: dict[str, object] = {}
        self.variables = Variables(sources, app_dir)
        self._importer = Importer(sources, (app_dir, *roots), self.load, framework.starred, self.outside)
        self.module, self.submodules = self._importer.module, self._importer.submodules
        self.add_root = self._importer.add_root
        members = Members(self, self._importer)
        self.attribute, self.lineage = members.attribute, members.lineage
        self._statements = Statements(self, self._importer)
        self.bind = self._statements.bind
        self.step = budget.step
        self._calls = Calls(self, framework)
        self._modules: dict[str, Module] = {}
        self._open_calls: dict[ast.AST, int] = {}
        self._depth = 0
        self._budget = budget

    @property
    def trying(self) -> int:
        """The number of ``try`` statements around the current statement."""
        return self._statements.trying

    @property
    def modules(self) -> list[Module]:
        """The modules that were loaded."""
        return list(self._modules.values())

    def load(self, file: str) -> Module:
        """Return the module of a file; each file is read once."""
        if file not in self._modules:
            names: dict[str, object] = {"__file__": file, "__name__": self._importer.dotted(file)}
            names["__package__"] = self._importer.package(file)
            module = self._modules[file] = Module(file, Scope(file, names))
            tree = self.sources.tree(file)
            if tree is not None:
                self._statements.run(tree.body, module.scope)
        return self._modules[file]

    def run_as_program(self, file: str) -> None:
        """Evaluate the statements that a module runs only as the main program, after the module was loaded."""
        tree = self.sources.tree(file)
        self._statements.run_as_program(tree.body if tree is not None else (), self.load(file).scope)

    def call(self, function: Function, arguments: Sequence[object] = (), **named: object) -> object:
        """Call a function of the project."""
        scope = Scope(function.scope.file, parent=function.scope)
        parameters = function.node.args
        names = [item.arg for item in (*parameters.posonlyargs, *parameters.args)]
        if function.receiver is not None:
            arguments = (function.receiver, *arguments)
        defaults = dict(zip(reversed(names), reversed(parameters.defaults), strict=False))
        defaults |= {
            item.arg: value
            for item, value in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
            if value is not None
        }
        scope.names.update(dict.fromkeys(names, UNKNOWN))
        scope.names.update({name: self.evaluate(node, function.scope) for name, node in defaults.items()})
        scope.names.update(zip(names, arguments, strict=False))
        known = {*names, *(item.arg for item in parameters.kwonlyargs)}
        if parameters.vararg:
            scope.names[parameters.vararg.arg] = list(arguments[len(names) :])
        if parameters.kwarg:
            scope.names[parameters.kwarg.arg] = {name: value for name, value in named.items() if name not in known}
        scope.names.update({name: value for name, value in named.items() if name in known or not parameters.kwarg})
        open_calls = self._open_calls.get(function.node, 0)
        if open_calls >= _MAX_RECURSION:
            return UNKNOWN
        self._budget.steps -= _CALL_STEPS
        self._open_calls[function.node] = open_calls + 1
        try:
            self._statements.run(function.node.body, scope)
        finally:
            self._open_calls[function.node] = open_calls
        return scope.returned

    def evaluate(self, node: ast.expr | None, scope: Scope) -> object:
        """Return the value of an expression, or ``UNKNOWN``."""
        if node is None or self._depth >= _MAX_DEPTH:
            return UNKNOWN
        self.step()
        self._depth += 1
        try:
            match node:
                case ast.Call():
                    return self._calls.evaluate(node, scope)
                case ast.Attribute():
                    return self.attribute(self.evaluate(node.value, scope), node.attr)
                case ast.NamedExpr():
                    self.bind(node.target, value := self.evaluate(node.value, scope), scope)
                    return value
                case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                    return evaluate_comprehension(node, scope, self)
                case _:
                    return evaluate_plain(node, scope, self.evaluate)
        finally:
            self._depth -= 1

    def enter(self) -> bool:
        """Go one level deeper, until ``leave``; return False if that is too deep."""
        if self._depth >= _MAX_DEPTH:
            return False
        self._depth += 1
        return True

    def leave(self) -> None:
        """Leave the level that ``enter`` entered."""
        self._depth -= 1
