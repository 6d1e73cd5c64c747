"""Reads modules as Python would run them, as far as routes need it, and runs none of them.

It follows assignments, imports, calls of the project's functions (factories, ``register_routes(app)``), plain loops
over what is written down, and nothing else. Whatever it does not understand is ``UNKNOWN``.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from preview.endpoints.python.builtin import call_builtin, call_standard
from preview.endpoints.python.comprehensions import evaluate_comprehension
from preview.endpoints.python.expressions import evaluate_plain
from preview.endpoints.python.imports import Importer
from preview.endpoints.python.methods import call_method, items_of
from preview.endpoints.python.native import Call, Framework, Native, WouldRaise
from preview.endpoints.python.statements import Statements
from preview.endpoints.python.values import (
    UNKNOWN,
    Class,
    External,
    Function,
    Instance,
    Module,
    Record,
    Scope,
)
from preview.endpoints.python.variables import Variables
from preview.sources import Sources

__all__ = ["Budget", "Interpreter", "OutOfBudget", "WouldRaise"]

# Deeper than any code that people write; each level takes a few Python frames of the default limit of 1000.
_MAX_DEPTH: Final = 60
# A function within itself; routes need no more, and what calls itself twice would go on for very long.
_MAX_RECURSION: Final = 4
# What a call costs beside its statements.
_CALL_STEPS: Final = 5
# About 0.3 s of reading: far more than the largest project known has, and an end to loops that call each other.
_MAX_STEPS: Final = 250_000


class OutOfBudget(Exception):
    """So much was read that reading on would take too long."""


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
        sources: The project's files.
        variables: What the project's ``.env`` files say.
        outside: What a full name from outside stands for (``django.conf.settings``), where it is more than a name.
    """

    def __init__(
        self, sources: Sources, app_dir: str, budget: Budget, framework: Framework, roots: Sequence[str] = ()
    ) -> None:
        self.sources = sources
        self.outside: dict[str, object] = {}
        self.variables = Variables(sources, app_dir)
        self._framework = framework
        self._importer = Importer(sources, (app_dir, *roots), self.load, framework.starred, self.outside)
        self._statements = Statements(self, self._importer)
        self._modules: dict[str, Module] = {}
        self._lineages: dict[Class, list[Class | External]] = {}
        self._open_calls: dict[ast.AST, int] = {}
        self._depth = 0
        self._budget = budget

    @property
    def trying(self) -> int:
        """How many ``try`` are around what is being read."""
        return self._statements.trying

    def load(self, file: str) -> Module:
        """The module in a file, read once.

        Raises:
            OutOfBudget: Too much was read.
        """
        if file not in self._modules:
            names: dict[str, object] = {"__file__": file, "__name__": self._importer.dotted(file)}
            names["__package__"] = self._importer.package(file)
            module = self._modules[file] = Module(file, Scope(file, names))
            tree = self.sources.tree(file)
            if tree is not None:
                self._statements.run(tree.body, module.scope)
        return self._modules[file]

    def run_as_program(self, file: str) -> None:
        """Read what a module does only where it is the program; it was loaded before.

        Raises:
            OutOfBudget: Too much was read.
        """
        tree = self.sources.tree(file)
        self._statements.run_as_program(tree.body if tree is not None else (), self.load(file).scope)

    def module(self, name: str) -> Module | None:
        """The project's module of this absolute name, or None.

        Raises:
            OutOfBudget: Too much was read.
        """
        return self._importer.module(name)

    def add_root(self, folder: str) -> None:
        """A further folder that absolute imports count from, ``sys.path.append``."""
        self._importer.add_root(folder or ".")

    def submodules(self, file: str) -> list[str]:
        """The names of the modules beside or below a package's file."""
        return self._importer.submodules(file)

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
        """The value of an expression, or ``UNKNOWN``.

        Raises:
            OutOfBudget: Too much was read.
        """
        if node is None or self._depth >= _MAX_DEPTH:
            return UNKNOWN
        self.step()
        self._depth += 1
        try:
            match node:
                case ast.Call():
                    return self._call(node, scope)
                case ast.Attribute():
                    return self.attribute(self.evaluate(node.value, scope), node.attr)
                case ast.NamedExpr():
                    self._statements.bind(node.target, value := self.evaluate(node.value, scope), scope)
                    return value
                case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                    return evaluate_comprehension(node, scope, self, self._statements.bind)
                case _:
                    return evaluate_plain(node, scope, self.evaluate)
        finally:
            self._depth -= 1

    def elements(self, value: object) -> list[object] | None:
        """What a loop over a value gives; None where that is not known."""
        return items_of(value)

    def attribute(self, value: object, name: str) -> object:
        """``value.name``."""
        if isinstance(value, Module):
            if name in value.scope.names:
                return value.scope.names[name]
            return self._importer.submodule(value, name)
        if isinstance(value, External):
            full = f"{value.name}.{name}"
            return self.outside.get(full) or External(full)
        if isinstance(value, Instance):
            if name in value.names:
                return value.names[name]
            found = self._bound(self._class_attribute(value.cls, name), value)
            if isinstance(found, (str, int, type(None))) and self._is_settings(value.cls):
                return self.variables.setting(name, found)
            return found
        if isinstance(value, Class):
            if name in {"__name__", "__qualname__"}:
                return value.node.name
            found = self._class_attribute(value, name)
            return self._bound(found, value) if _is_decorated(found, "classmethod") else found
        if isinstance(value, Native):
            own = self._own_attribute(value, name)
            return value.attribute(name) if own is UNKNOWN else own
        if isinstance(value, Record):
            return value.names.get(name, UNKNOWN)
        return value.node.name if isinstance(value, Function) and name == "__name__" else UNKNOWN

    def bases(self, cls: Class) -> list[object]:
        """The values of a class's bases; ``Generic[T]`` counts as ``Generic``."""
        plain = [base.value if isinstance(base, ast.Subscript) else base for base in cls.node.bases]
        return [self.evaluate(base, cls.scope) for base in plain]

    def lineage(self, cls: Class) -> list[Class | External]:
        """The class and all it inherits from, nearest first, each once."""
        if cls not in self._lineages:
            self._lineages[cls] = self._lineage(cls)
        return self._lineages[cls]

    def _lineage(self, cls: Class) -> list[Class | External]:
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
        if outside is not None and outside.last == "BaseSettings":
            value = self.variables.get(name)
            return self.variables.get(name.upper()) if value is UNKNOWN else value
        return External(f"{outside.name}.{name}") if outside else UNKNOWN

    def _own_attribute(self, native: Native, name: str) -> object:
        """What the project's class adds to an object of the framework; ``UNKNOWN`` where it adds nothing."""
        cls = native.own_class()
        found = self._class_attribute(cls, name) if cls is not None else UNKNOWN
        return UNKNOWN if isinstance(found, External) else self._bound(found, native)

    def _is_settings(self, cls: Class) -> bool:
        return any(isinstance(item, External) and item.last == "BaseSettings" for item in self.lineage(cls))

    def _bound(self, found: object, receiver: object) -> object:
        """A method with its first argument, a property's value; anything else as it is."""
        if not isinstance(found, Function) or _is_decorated(found, "staticmethod"):
            return found
        method = Function(found.node, found.scope, receiver=receiver)
        is_property = _is_decorated(found, "property") or _is_decorated(found, "cached_property")
        return self.call(method) if is_property else method

    def step(self) -> None:
        """Count one more thing that was read.

        Raises:
            OutOfBudget: Too much was read.
        """
        self._budget.steps -= 1
        if self._budget.steps < 0:
            raise OutOfBudget

    def enter(self) -> bool:
        """One level further in, until ``leave``; False where that is too deep."""
        if self._depth >= _MAX_DEPTH:
            return False
        self._depth += 1
        return True

    def leave(self) -> None:
        """Back from where ``enter`` led."""
        self._depth -= 1

    def _call(self, node: ast.Call, scope: Scope) -> object:
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        receiver = self.evaluate(node.func.value, scope) if isinstance(node.func, ast.Attribute) else UNKNOWN
        if isinstance(receiver, (str, list, dict)) and not isinstance(receiver, Record):
            return call_method(receiver, method, *self._given(node, scope))
        callee = self.attribute(receiver, method) if method else self.evaluate(node.func, scope)
        if method and isinstance(receiver, Native) and not isinstance(callee, Function):
            arguments, named = self._given(node, scope)
            return receiver.call_method(method, Call(node, arguments, named, scope, self))
        if callee is UNKNOWN and not isinstance(node.func, ast.Name):
            return UNKNOWN
        arguments, named = self._given(node, scope)
        call = Call(node, arguments, named, scope, self)
        if callee is UNKNOWN:
            return call_builtin(node.func.id, call) if isinstance(node.func, ast.Name) else UNKNOWN
        return self._call_value(callee, call)

    def _call_value(self, callee: object, call: Call) -> object:
        if isinstance(callee, Native):
            return callee.call(call)
        if isinstance(callee, Function):
            return self.call(callee, call.arguments, **call.named)
        if isinstance(callee, Class):
            return self._create(callee, call)
        if isinstance(callee, External):
            found = call_standard(callee.name, call)
            return self._framework.construct(callee, call) if found is UNKNOWN else found
        return UNKNOWN

    def _given(self, node: ast.Call, scope: Scope) -> tuple[list[object], dict[str, object]]:
        """The values of a call's arguments, those behind stars as far as they are known."""
        arguments: list[object] = []
        for item in node.args:
            if isinstance(item, ast.Starred):
                arguments += items_of(self.evaluate(item.value, scope)) or []
            else:
                arguments.append(self.evaluate(item, scope))
        named: dict[str, object] = {}
        for keyword in node.keywords:
            value = self.evaluate(keyword.value, scope)
            if keyword.arg:
                named[keyword.arg] = value
            elif isinstance(value, dict):
                named |= {key: item for key, item in value.items() if isinstance(key, str)}
        return arguments, named

    def _create(self, cls: Class, call: Call) -> object:
        """An object of a class of the project; the framework's own kind where it inherits from it."""
        base = next((item for item in self.lineage(cls) if isinstance(item, External) and self._constructs(item)), None)
        initialise = self._class_attribute(cls, "__init__")
        if base is None:
            instance = Instance(cls)
            if isinstance(initialise, Function):
                self.call(Function(initialise.node, initialise.scope, receiver=instance), call.arguments, **call.named)
            else:
                instance.names.update(call.named)
            return instance
        made = self._framework.construct(base, call)
        if isinstance(made, Native):
            made.adopt(cls)
            if made.own_class() is cls and isinstance(initialise, Function):
                self.call(Function(initialise.node, initialise.scope, receiver=made), call.arguments, **call.named)
        return made

    def _constructs(self, value: External) -> bool:
        return self._framework.is_constructor(value)


def _is_decorated(found: object, name: str) -> bool:
    return isinstance(found, Function) and any(
        isinstance(item, ast.Name) and item.id == name for item in found.node.decorator_list
    )
