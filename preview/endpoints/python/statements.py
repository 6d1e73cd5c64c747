"""Effects of statements on the names of a scope, without running them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.imports import Importer
from preview.endpoints.python.methods import items_of
from preview.endpoints.python.truth import Native, WouldRaise, truth
from preview.endpoints.python.values import Class, Function, Instance, Module, Scope

if TYPE_CHECKING:
    from preview.endpoints.python.evaluator import PythonEvaluator

_MAX_LOOP: Final = 300
# Limits memory when a loop adds a list to itself.
_MAX_ITEMS: Final = 100_000
_REGISTERING: Final = frozenset(
    {"include_router", "add_api_route", "add_route", "mount", "register_blueprint", "add_url_rule", "add_resource"}
    | {"append", "extend", "register", "add_router", "blueprint", "add_routes"}
)
_IMPORT_ERRORS: Final = frozenset({"ImportError", "ModuleNotFoundError", "Exception"})


class Statements:
    """Executes statements.

    Attributes:
        trying: The number of ``try`` statements around the current statement.
    """

    def __init__(self, evaluator: PythonEvaluator, importer: Importer) -> None:
        self._evaluator = evaluator
        self._importer = importer
        self.trying = 0

    def run(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Execute a body up to its end, or up to a ``return``, ``break`` or ``continue`` that is certainly reached."""
        if not self._evaluator.enter():
            return
        try:
            for statement in body:
                self._evaluator.step()
                self._execute(statement, scope)
                if scope.jump:
                    break
        finally:
            self._evaluator.leave()

    def _execute(self, statement: ast.stmt, scope: Scope) -> None:
        match statement:
            case ast.Assign():
                self._assign(statement, scope)
            case ast.AugAssign(op=ast.Add()):
                self._add_to(statement, scope)
            case ast.AnnAssign(value=ast.expr()):
                self.bind(statement.target, self._evaluator.evaluate(statement.value, scope), scope)
            case ast.Expr():
                self._evaluator.evaluate(statement.value, scope)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._decorate(statement, Function(statement, scope), scope)
            case ast.ClassDef():
                self._class(statement, scope)
            case ast.Import() | ast.ImportFrom():
                self._importer.bind(statement, scope)
            case ast.Return():
                self._return(statement, scope)
            case ast.Break() | ast.Continue():
                self._jump(type(statement).__name__, scope)
            case ast.Global():
                scope.elsewhere |= set(statement.names)
            case _:
                self._compound(statement, scope)

    def run_as_program(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Execute the part of a module for the main program: ``if __name__ == "__main__"``."""
        for statement in body:
            if isinstance(statement, ast.If) and _asks_for_main(statement.test):
                self.run(statement.body, scope)

    def _compound(self, statement: ast.stmt, scope: Scope) -> None:
        match statement:
            case ast.For() | ast.AsyncFor():
                self._for(statement, scope)
            case ast.While():
                self._perhaps(statement.body, scope)
            case ast.With() | ast.AsyncWith():
                self._with(statement, scope)
            case ast.If():
                self._if(statement, scope)
            case ast.Try():
                self._try(statement, scope)
            case ast.Match():
                for case in statement.cases:
                    self._perhaps(case.body, scope)
            case _:
                pass

    def _assign(self, node: ast.Assign, scope: Scope) -> None:
        value = self._evaluator.evaluate(node.value, scope)
        for target in node.targets:
            self.bind(target, value, scope)

    def _add_to(self, node: ast.AugAssign, scope: Scope) -> None:
        """Execute ``name += value``: a list grows in place, for every name that refers to the list."""
        old, more = self._evaluator.evaluate(node.target, scope), self._evaluator.evaluate(node.value, scope)
        if isinstance(old, list):
            added = more if isinstance(more, list) else [more]
            if len(old) + len(added) <= _MAX_ITEMS:
                old += added
        elif isinstance(old, str):
            self.bind(node.target, old + more if isinstance(more, str) else UNKNOWN, scope)

    def bind(self, target: ast.expr, value: object, scope: Scope) -> None:
        """Execute ``target = value``."""
        if isinstance(target, ast.Name):
            where = scope.outermost() if target.id in scope.elsewhere else scope
            where.names[target.id] = value
        elif isinstance(target, ast.Attribute):
            _set_attribute(self._evaluator.evaluate(target.value, scope), target.attr, value)
        elif isinstance(target, ast.Subscript):
            self._set_item(target, value, scope)
        elif isinstance(target, (ast.Tuple, ast.List)):
            values = value if isinstance(value, list) else []
            for position, element in enumerate(target.elts):
                self.bind(element, values[position] if position < len(values) else UNKNOWN, scope)

    def _set_item(self, target: ast.Subscript, value: object, scope: Scope) -> None:
        owner = self._evaluator.evaluate(target.value, scope)
        key = self._evaluator.evaluate(target.slice, scope) if isinstance(owner, (dict, Native)) else UNKNOWN
        if isinstance(owner, Native):
            owner.set_item(key, value)
        elif isinstance(owner, dict) and isinstance(key, (str, int)) and len(owner) < _MAX_ITEMS:
            owner[key] = value

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        body = Scope(scope.file, parent=scope)
        cls = Class(node, scope, body)
        scope.names[node.name] = cls
        self.run(node.body, body)
        self._decorate(node, cls, scope)

    def _decorate(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, target: Function | Class, scope: Scope
    ) -> None:
        """Bind the name and apply the decorators: the framework's may register it, external ones change nothing."""
        bound: object = target
        scope.names[node.name] = target
        for decorator in reversed(node.decorator_list):
            value = self._evaluator.evaluate(decorator, scope)
            if isinstance(value, Instance):
                value = self._evaluator.attribute(value, "__call__")
            if isinstance(value, Native):
                result = value.decorate(bound if isinstance(bound, (Function, Class)) else target)
                bound = bound if result is UNKNOWN else result
            elif isinstance(value, Function):
                # The project's own decorators may register the function.
                result = self._evaluator.call(value, [bound])
                bound = result if isinstance(result, Native) else bound
        scope.names[node.name] = bound

    def _with(self, node: ast.With | ast.AsyncWith, scope: Scope) -> None:
        for item in node.items:
            value = self._evaluator.evaluate(item.context_expr, scope)
            if item.optional_vars is not None:
                self.bind(item.optional_vars, value, scope)
        self.run(node.body, scope)

    def _if(self, node: ast.If, scope: Scope) -> None:
        # The main program's part does not run on a server.
        if _asks_for_main(node.test):
            self.run(node.orelse, scope)
            return
        answer = truth(self._evaluator.evaluate(node.test, scope))
        if answer is not None:
            self.run(node.body if answer else node.orelse, scope)
            return
        # It is unknown which branch runs: show the routes of both.
        self._perhaps(node.body, scope)
        self._perhaps(node.orelse, scope)

    def _perhaps(self, body: Sequence[ast.stmt], scope: Scope) -> None:
        """Execute a body that may or may not run: a ``return`` in the body ends nothing."""
        scope.unsure += 1
        try:
            self.run(body, scope)
        finally:
            scope.unsure -= 1

    def _try(self, node: ast.Try, scope: Scope) -> None:
        self.trying += 1
        try:
            self.run(node.body, scope)
        except WouldRaise:
            return
        finally:
            self.trying -= 1
        if not scope.jump:
            self._import_instead(node, scope)
            self.run(node.orelse, scope)
        if not scope.jump:
            self.run(node.finalbody, scope)

    def _import_instead(self, node: ast.Try, scope: Scope) -> None:
        """Bind the names of ``except ImportError: from here import name`` if only that import resolves."""
        imports = [
            item
            for handler in node.handlers
            if isinstance(handler.type, (ast.Name, ast.Tuple)) and _IMPORT_ERRORS & _names(handler.type)
            for item in handler.body
            if isinstance(item, (ast.Import, ast.ImportFrom))
        ]
        for item in imports:
            other = Scope(scope.file, parent=scope)
            self._importer.bind(item, other)
            for name, value in other.names.items():
                if isinstance(scope.find(name), External) or scope.find(name) is UNKNOWN:
                    scope.names[name] = value if not isinstance(value, External) else scope.names.get(name, value)

    def _for(self, node: ast.For | ast.AsyncFor, scope: Scope) -> None:
        values = items_of(self._evaluator.evaluate(node.iter, scope))
        if values is None and _registers(node.body):
            # What the loop registers is not known; the framework notes it.
            self.bind(node.target, UNKNOWN, scope)
            self._perhaps(node.body, scope)
        outer, scope.unsure = scope.unsure, 0
        try:
            for value in (values or [])[:_MAX_LOOP]:
                self.bind(node.target, value, scope)
                self.run(node.body, scope)
                if scope.jump == "Continue":
                    scope.jump = ""
                elif scope.jump:
                    break
        finally:
            scope.unsure = outer
        scope.jump = "" if scope.jump == "Break" or (scope.jump and scope.unsure) else scope.jump

    def _return(self, node: ast.Return, scope: Scope) -> None:
        value = self._evaluator.evaluate(node.value, scope)
        if scope.returned is UNKNOWN or scope.returned is None:
            scope.returned = value
        self._jump("Return", scope)

    def _jump(self, kind: str, scope: Scope) -> None:
        if not scope.unsure:
            scope.jump = kind


def _set_attribute(owner: object, name: str, value: object) -> None:
    if isinstance(owner, Instance):
        owner.names[name] = value
    elif isinstance(owner, Native):
        owner.set_attribute(name, value)
    elif isinstance(owner, Class):
        owner.body.names[name] = value
    elif isinstance(owner, Module):
        owner.scope.names[name] = value


def _registers(body: Sequence[ast.stmt]) -> bool:
    calls = (item.func for statement in body for item in ast.walk(statement) if isinstance(item, ast.Call))
    return any(isinstance(func, ast.Attribute) and func.attr in _REGISTERING for func in calls)


def _asks_for_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _names(node: ast.expr) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}
