"""Reads modules as Python would run them, as far as routes need it, and runs none of them.

It follows assignments, imports, calls of the project's functions (factories, ``register_routes(app)``), plain loops
over what is written down, and nothing else. Whatever it does not understand is ``UNKNOWN``.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preview.endpoints.python.expressions import evaluate_plain
from preview.endpoints.python.imports import Importer
from preview.endpoints.python.native import Call, Framework, Native
from preview.endpoints.python.values import UNKNOWN, Class, External, Function, Instance, Module, Scope
from preview.sources import Sources

__all__ = ["Budget", "Interpreter", "OutOfBudget", "WouldRaise"]

# Deeper than any code that people write; each level takes a few Python frames of the default limit of 1000.
_MAX_DEPTH: Final = 60
# About 0.3 s of reading: far more than the largest project known has, and an end to loops that call each other.
_MAX_STEPS: Final = 250_000
_MAX_LOOP: Final = 200
# A list that adds itself to itself in a loop must not fill the memory.
_MAX_ITEMS: Final = 100_000


class OutOfBudget(Exception):
    """So much was read that reading on would take too long."""


class WouldRaise(Exception):
    """A framework knows that this statement raises; only where a ``try`` around it goes on behind (``trying``)."""


@dataclass(slots=True)
class Budget:
    """What is left to read, over all interpreters of one project."""

    steps: int = _MAX_STEPS


class Interpreter:
    """Reads the modules of one project.

    Args:
        sources: The project's files.
        app_dir: Folder that absolute imports count from, relative to the project; ``.`` for its own.
        budget: Shared by all that read the same project.
        framework: Knows what the names from outside do.
        roots: Further folders that absolute imports count from (``sys.path``), after ``app_dir``.

    Attributes:
        outside: What a full name from outside stands for (``django.conf.settings``), where it is more than a name.
        trying: How many ``try`` are around what is being read.
    """

    def __init__(
        self, sources: Sources, app_dir: str, budget: Budget, framework: Framework, roots: Sequence[str] = ()
    ) -> None:
        self._sources = sources
        self._framework = framework
        self.outside: dict[str, object] = {}
        self.trying = 0
        self._importer = Importer(sources, (app_dir, *roots), self.load, framework.starred, self.outside)
        self._modules: dict[str, Module] = {}
        self._depth = 0
        self._budget = budget

    def load(self, file: str) -> Module:
        """The module in a file, read once.

        Raises:
            OutOfBudget: Too much was read.
        """
        if file not in self._modules:
            module = self._modules[file] = Module(file, Scope(file))
            tree = self._sources.tree(file)
            if tree is not None:
                self._run(tree.body, module.scope)
        return self._modules[file]

    def module(self, name: str) -> Module | None:
        """The project's module of this absolute name, or None.

        Raises:
            OutOfBudget: Too much was read.
        """
        return self._importer.module(name)

    def call(self, function: Function, arguments: Sequence[object] = (), **named: object) -> object:
        """What a function of the project gives back.

        Raises:
            OutOfBudget: Too much was read.
        """
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
        scope.names.update({name: self.evaluate(node, function.scope) for name, node in defaults.items()})
        scope.names.update(zip(names, arguments, strict=False))
        scope.names.update(named)
        self._run(function.node.body, scope)
        return scope.returned

    def evaluate(self, node: ast.expr | None, scope: Scope) -> object:
        """The value of an expression, or ``UNKNOWN``.

        Raises:
            OutOfBudget: Too much was read.
        """
        if node is None or self._depth >= _MAX_DEPTH:
            return UNKNOWN
        self.step()
        self._depth += 1
        try:
            if isinstance(node, ast.Call):
                return self._call(node, scope)
            if isinstance(node, ast.Attribute):
                return self.attribute(self.evaluate(node.value, scope), node.attr)
            return evaluate_plain(node, scope, self.evaluate)
        finally:
            self._depth -= 1

    def attribute(self, value: object, name: str) -> object:
        """``value.name``."""
        if isinstance(value, Module):
            if name in value.scope.names:
                return value.scope.names[name]
            return self._importer.submodule(value, name)
        if isinstance(value, External):
            return External(f"{value.name}.{name}")
        if isinstance(value, Instance):
            if name in value.names:
                return value.names[name]
            return _bound(self._class_attribute(value.cls, name), value)
        if isinstance(value, Class):
            found = self._class_attribute(value, name)
            return _bound(found, value) if _is_decorated(found, "classmethod") else found
        if isinstance(value, Native):
            return value.attribute(name)
        return UNKNOWN

    def bases(self, cls: Class) -> list[object]:
        """The values of a class's bases; ``Generic[T]`` counts as ``Generic``."""
        plain = [base.value if isinstance(base, ast.Subscript) else base for base in cls.node.bases]
        return [self.evaluate(base, cls.scope) for base in plain]

    def lineage(self, cls: Class) -> list[Class | External]:
        """The class and all it inherits from, nearest first, each once."""
        found: list[Class | External] = []
        todo: list[object] = [cls]
        while todo and len(found) < _MAX_DEPTH:
            current = todo.pop(0)
            if isinstance(current, External) and current not in found:
                found.append(current)
            elif isinstance(current, Class) and current not in found:
                found.append(current)
                todo += self.bases(current)
        return found

    def _class_attribute(self, cls: Class, name: str) -> object:
        lineage = self.lineage(cls)
        for ancestor in lineage:
            if isinstance(ancestor, Class) and name in ancestor.body.names:
                return ancestor.body.names[name]
        # Inherited from outside: `View.as_view`, as the framework knows it.
        outside = next((item for item in lineage if isinstance(item, External)), None)
        return External(f"{outside.name}.{name}") if outside else UNKNOWN

    def step(self) -> None:
        """Count one more thing that was read.

        Raises:
            OutOfBudget: Too much was read.
        """
        self._budget.steps -= 1
        if self._budget.steps < 0:
            raise OutOfBudget

    # Statements

    def _run(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        if self._depth >= _MAX_DEPTH:
            return
        self._depth += 1
        try:
            for statement in body:
                self.step()
                self._execute(statement, scope)
        finally:
            self._depth -= 1

    def _execute(self, statement: ast.stmt, scope: Scope) -> None:
        match statement:
            case ast.Assign():
                self._assign(statement, scope)
            case ast.AugAssign(op=ast.Add()):
                self._add_to(statement, scope)
            case ast.AnnAssign(value=ast.expr()):
                self._bind(statement.target, self.evaluate(statement.value, scope), scope)
            case ast.Expr():
                self.evaluate(statement.value, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(statement, scope)
            case ast.ClassDef():
                self._class(statement, scope)
            case ast.Import() | ast.ImportFrom():
                self._importer.bind(statement, scope)
            case ast.Return():
                self._return(statement, scope)
            case ast.For():
                self._for(statement, scope)
            case ast.With() | ast.AsyncWith():
                self._run(statement.body, scope)
            case ast.If():
                self._if(statement, scope)
            case ast.Try():
                self._try(statement, scope)
            case _:
                pass

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self.evaluate(node.value, scope)
        for target in node.targets:
            self._bind(target, value, scope)

    def _add_to(self, node: ast.AugAssign, scope: Scope) -> None:
        """``name += value``: a list grows in place, as every name that stands for it sees."""
        old, more = self.evaluate(node.target, scope), self.evaluate(node.value, scope)
        if isinstance(old, list):
            if isinstance(more, list) and len(old) + len(more) <= _MAX_ITEMS:
                old += more
        elif isinstance(old, str):
            self._bind(node.target, old + more if isinstance(more, str) else UNKNOWN, scope)

    def _bind(self, target: ast.expr, value: object, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
        elif isinstance(target, ast.Attribute):
            owner = self.evaluate(target.value, scope)
            if isinstance(owner, Instance):
                owner.names[target.attr] = value
            elif isinstance(owner, Native):
                owner.set_attribute(target.attr, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = value if isinstance(value, list) else []
            for position, element in enumerate(target.elts):
                self._bind(element, values[position] if position < len(values) else UNKNOWN, scope)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        self._decorate(node, Function(node, scope), scope)

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        body = Scope(scope.file, parent=scope)
        cls = Class(node, scope, body)
        scope.names[node.name] = cls
        self._run(node.body, body)
        self._decorate(node, cls, scope)

    def _decorate(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, target: Function | Class, scope: Scope
    ) -> None:
        """Bind the name; a decorator of the framework registers it, all others are taken to change nothing."""
        scope.names[node.name] = target
        for decorator in reversed(node.decorator_list):
            native = self.evaluate(decorator, scope)
            if isinstance(native, Native):
                result = native.decorate(target)
                if result is not UNKNOWN:
                    scope.names[node.name] = result

    def _if(self, node: ast.If, scope: Scope) -> None:
        # Which side runs depends on settings; routes of both are shown. What runs only as a program is not served.
        if not _asks_for_main(node.test):
            self._run(node.body, scope)
        self._run(node.orelse, scope)

    def _try(self, node: ast.Try, scope: Scope) -> None:
        self.trying += 1
        try:
            self._run(node.body, scope)
        except WouldRaise:
            return
        finally:
            self.trying -= 1
        for part in (node.orelse, node.finalbody):
            self._run(part, scope)

    def _for(self, node: ast.For, scope: Scope) -> None:
        values = self.evaluate(node.iter, scope)
        for value in (values if isinstance(values, list) else [])[:_MAX_LOOP]:
            self._bind(node.target, value, scope)
            self._run(node.body, scope)

    def _return(self, node: ast.Return, scope: Scope) -> None:
        value = self.evaluate(node.value, scope)
        if scope.returned is UNKNOWN:
            scope.returned = value

    # Calls

    def _call(self, node: ast.Call, scope: Scope) -> object:
        if isinstance(node.func, ast.Attribute):
            receiver = self.evaluate(node.func.value, scope)
            if isinstance(receiver, list):
                return self._change_list(receiver, node, scope)
            callee = receiver if isinstance(receiver, Native) else self.attribute(receiver, node.func.attr)
        else:
            callee = self.evaluate(node.func, scope)
        if callee is UNKNOWN:
            return UNKNOWN
        arguments = [self.evaluate(item, scope) for item in node.args if not isinstance(item, ast.Starred)]
        named = {item.arg: self.evaluate(item.value, scope) for item in node.keywords if item.arg}
        call = Call(node, arguments, named, scope, self)
        if isinstance(callee, Native):
            return (
                callee.call_method(node.func.attr, call) if isinstance(node.func, ast.Attribute) else callee.call(call)
            )
        if isinstance(callee, Function):
            return self.call(callee, arguments, **named)
        if isinstance(callee, Class):
            base = next((item for item in self.lineage(callee) if self._constructs(item)), None)
            if isinstance(base, External):
                return self._framework.construct(base, call)
            return self._instantiate(callee, arguments, named)
        return self._framework.construct(callee, call) if isinstance(callee, External) else UNKNOWN

    def _change_list(self, values: list[object], node: ast.Call, scope: Scope) -> object:
        """``list.append(…)`` and its like."""
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        given = [self.evaluate(item, scope) for item in node.args]
        if len(values) >= _MAX_ITEMS or not given:
            return UNKNOWN
        if name == "append":
            values.append(given[0])
        elif name == "insert" and len(given) > 1 and isinstance(given[0], int):
            values.insert(max(-len(values), min(given[0], len(values))), given[1])
        elif name == "extend" and isinstance(given[0], list) and len(values) + len(given[0]) <= _MAX_ITEMS:
            values += given[0]
        return None

    def _constructs(self, value: Class | External) -> bool:
        return isinstance(value, External) and self._framework.is_constructor(value)

    def _instantiate(self, cls: Class, arguments: Sequence[object], named: dict[str, object]) -> Instance:
        instance = Instance(cls)
        initialise = self._class_attribute(cls, "__init__")
        if isinstance(initialise, Function):
            self.call(Function(initialise.node, initialise.scope, receiver=instance), arguments, **named)
        else:
            instance.names.update(named)
        return instance


def _bound(found: object, receiver: object) -> object:
    """A method with its first argument; anything else as it is."""
    if not isinstance(found, Function) or _is_decorated(found, "staticmethod"):
        return found
    return Function(found.node, found.scope, receiver=receiver)


def _is_decorated(found: object, name: str) -> bool:
    return isinstance(found, Function) and any(
        isinstance(item, ast.Name) and item.id == name for item in found.node.decorator_list
    )


def _asks_for_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
