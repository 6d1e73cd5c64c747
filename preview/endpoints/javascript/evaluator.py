"""Evaluates JavaScript and TypeScript modules as Node would run them, as far as routes need it, without running them.

The evaluator follows requires and imports, assignments, calls of the project's functions and classes, and loops over
literal values. Everything else is ``UNKNOWN``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from tree_sitter import Node

from preview.endpoints.budget import Budget
from preview.endpoints.javascript.builtins import find_builtin
from preview.endpoints.javascript.classes import construct
from preview.endpoints.javascript.expressions import EXPRESSIONS
from preview.endpoints.javascript.members import member, property_of
from preview.endpoints.javascript.methods import PROMISED, call_value
from preview.endpoints.javascript.modules import ROOT, Resolver, named_export
from preview.endpoints.javascript.natives import Call, Environment, Framework, Native, Require
from preview.endpoints.javascript.operators import MAX_LENGTH
from preview.endpoints.javascript.patterns import bind_parameters, parameters
from preview.endpoints.javascript.statements import declare, hoist, run_statement
from preview.endpoints.javascript.syntax import children, first_child, may_register, text
from preview.endpoints.javascript.values import Binding, Class, Function, JSObject, Made, Module, Scope
from preview.endpoints.names import UNKNOWN, External
from preview.sources.javascript import JavaScriptTrees

_MAX_JSON_DEPTH: Final = 30


def read_json(text: bytes) -> object:
    """Return the value of a JSON file; ``UNKNOWN`` for invalid JSON."""
    try:
        return _value(json.loads(text), 0)
    except (ValueError, RecursionError):
        return UNKNOWN


def _value(value: object, depth: int) -> object:
    if depth > _MAX_JSON_DEPTH:
        return UNKNOWN
    if isinstance(value, dict):
        return JSObject({key: _value(item, depth + 1) for key, item in value.items()})
    return [_value(item, depth + 1) for item in value] if isinstance(value, list) else value


# Limits on nested options and on the number of options at one level; larger values are data.
_MAX_NESTED: Final = 2
_MAX_OPTIONS: Final = 30
_REQUESTS: Final = frozenset({"req", "request", "_req", "ctx", "_"})


def functions_worth_reading(values: Sequence[object]) -> list[Function]:
    """Return the functions among arguments that may register routes, without handlers of requests."""
    return [item for item in _functions_in(values, 0) if not _is_handler(item) and may_register(item.node)]


def _functions_in(values: Sequence[object], depth: int) -> list[Function]:
    """Return the functions among arguments, also those in lists and options (``bootstrap({loaders: [start]})``)."""
    found: list[Function] = []
    for value in values:
        if isinstance(value, Function):
            found.append(value)
        elif isinstance(value, (list, JSObject)) and depth < _MAX_NESTED:
            inner = value if isinstance(value, list) else list(value.names.values())
            found += _functions_in(inner, depth + 1) if len(inner) <= _MAX_OPTIONS else []
    return found


def _is_handler(function: Function) -> bool:
    return text(next(parameters(function.node), None)) in _REQUESTS


# Deeper than any real code. Each level takes about three Python frames of the default limit of 1000.
_MAX_DEPTH: Final = 200
# Limit on recursive calls: route loaders walk folders recursively.
_MAX_RECURSION: Final = 6


class JavaScriptEvaluator:
    """Evaluates the modules of one package.

    Args:
        budget: Shared by all evaluators of the same project.
        environment: The known variables of ``process.env``.

    Attributes:
        modules: All modules that were read or are being read, by file and in order.
        step: Counts one more step of reading; raises ``OutOfBudget`` if no step is left.
    """

    def __init__(
        self,
        trees: JavaScriptTrees,
        resolver: Resolver,
        budget: Budget,
        framework: Framework,
        environment: Mapping[str, str],
    ) -> None:
        self.trees = trees
        self.sources = trees.sources
        self.resolver = resolver
        self.framework = framework
        self.environment = Environment(environment)
        self.active: list[Function] = []
        self.modules: dict[str, Module] = {}
        self.step = budget.step
        self._depth = 0

    # Modules

    def require(self, specifier: str, file: str) -> Module | External:
        """Return the module that a specifier means in a file; ``External`` if it is not the project's."""
        found = self.resolver.resolve(specifier, file)
        return External(specifier.removeprefix("node:")) if found is None else self.load(found)

    def load(self, file: str) -> Module:
        """Return the module of a file; each file is read once."""
        if file not in self.modules:
            exports = JSObject()
            holder = JSObject({"exports": exports})
            names: dict[str, object] = {
                "module": holder,
                "exports": exports,
                "this": exports,
                "require": Require(file),
                "__filename": f"{ROOT}/{file}",
                "__dirname": f"{ROOT}/{file}".rpartition("/")[0],
            }
            module = self.modules[file] = Module(file, Scope(file, names), holder)
            self._read(module)
        return self.modules[file]

    def _read(self, module: Module) -> None:
        if module.file.endswith(".json"):
            module.holder.names["exports"] = read_json(self.sources.text(module.file))
            return
        body = children(self.trees.tree(module.file))
        module.is_esm = any(node.type in {"import_statement", "export_statement"} for node in body)
        depth = self._depth
        try:
            self.run(body, module.scope)
        except RecursionError:
            # Nested modules exceed the stack: keep the part of this module that was read.
            self._depth = depth

    # Values

    def evaluate(self, node: Node | None, scope: Scope) -> object:
        """Return the value of an expression, or ``UNKNOWN``; ``UNKNOWN`` also for no node."""
        reader = EXPRESSIONS.get(node.type) if node is not None else None
        if node is None or reader is None or self._depth >= _MAX_DEPTH:
            return UNKNOWN
        self.step()
        self._depth += 1
        try:
            return reader(self, node, scope)
        finally:
            self._depth -= 1

    def evaluate_all(self, nodes: Sequence[Node], scope: Scope) -> list[object]:
        """Return the values of the elements of a list or a call; spread elements (``...``) are expanded."""
        values: list[object] = []
        for node in nodes:
            if node.type == "spread_element":
                inner = self.evaluate(first_child(node), scope)
                values += inner if isinstance(inner, (list, str)) and len(values) + len(inner) <= MAX_LENGTH else []
            else:
                values.append(self.evaluate(node, scope))
        return values

    def settle(self, value: object) -> object:
        """Resolve a binding to another module's name; return any other value unchanged."""
        for _ in range(_MAX_RECURSION):
            if not isinstance(value, Binding):
                return value
            origin = value.origin
            value = named_export(self, origin, value.name) if isinstance(origin, Module) else origin.find(value.name)
        return UNKNOWN

    def member(self, value: object, name: str) -> object:
        """Evaluate ``value.name``."""
        return member(self, self.settle(value), name)

    # Calls

    def call_method(self, receiver: object, name: str, call: Call) -> object:
        """Evaluate ``receiver.name(…)``."""
        # `NestFactory.create(App).then(app => …)`: the promise of an application counts as the application.
        is_promised = name in PROMISED and isinstance(call.argument(0), Function)
        if isinstance(receiver, Native) and not is_promised:
            return receiver.call_method(name, call)
        if isinstance(receiver, JSObject):
            found = property_of(self, receiver, name)
            if isinstance(found, (Function, Class, Native, External)):
                return self.invoke(found, call, receiver)
            if isinstance(receiver.native, Native):
                return receiver.native.call_method(name, call)
        elif isinstance(receiver, (Class, External)):
            return self.invoke(self.member(receiver, name), call, receiver)
        elif isinstance(receiver, Function) and name in receiver.names:
            return self.invoke(receiver.names[name], call, receiver)
        return call_value(self, receiver, name, call)

    def invoke(self, callee: object, call: Call, this: object = None) -> object:
        """Evaluate ``callee(…)`` for any value."""
        callee = self.settle(callee)
        if isinstance(callee, Function):
            return self.call(callee, call.arguments, this)
        if isinstance(callee, Native):
            return callee.call(call)
        if isinstance(callee, External):
            builtin = find_builtin(callee.name)
            return builtin(call) if builtin is not None else self.framework.construct(callee, call)
        self.call_back(call.arguments)
        if isinstance(callee, Made):
            return Made("", call.arguments, callee)
        for argument in call.arguments:
            if isinstance(argument, Native):
                argument.hand_over(call)
        return UNKNOWN

    def apply(self, callee: object, arguments: list[object]) -> object:
        """Call ``callee`` with known arguments, as a loop over an array does."""
        return self.invoke(callee, Call.made(self, arguments))

    def call(self, function: Function, arguments: list[object], this: object = None) -> object:
        """Call a function of the project; a promise counts as its future value."""
        if self._depth >= _MAX_DEPTH or sum(item.node.id == function.node.id for item in self.active) > _MAX_RECURSION:
            return UNKNOWN
        scope = Scope(function.scope.file, parent=function.scope)
        if not function.is_arrow:
            scope.names["this"] = function.this if function.this is not None else this
            scope.names["arguments"] = arguments
        body = function.node.child_by_field_name("body")
        if body is None:
            return UNKNOWN
        self.active.append(function)
        try:
            bind_parameters(self, function.node, arguments, scope)
            if body.type != "statement_block":
                return self.evaluate(body, scope)
            self.run(children(body), scope)
        finally:
            self.active.pop()
        return scope.returned

    def construct(self, callee: object, call: Call) -> object:
        """Evaluate ``new callee(…)``."""
        callee = self.settle(callee)
        if isinstance(callee, (Class, Function)):
            return construct(self, callee, call.arguments)
        return self.invoke(callee, call)

    def call_back(self, values: Sequence[object]) -> None:
        """Call the functions that external code receives and will call later (``connect().then(() => …)``)."""
        for function in functions_worth_reading(values):
            if function not in self.active:
                self.call(function, [])

    # Statements

    def run(self, body: Sequence[Node], scope: Scope) -> bool:
        """Run statements; return whether they certainly end with a return."""
        if self._depth >= _MAX_DEPTH:
            return False
        self._depth += 1
        try:
            hoist(self, body, scope)
            for statement in body:
                self.step()
                if run_statement(self, statement, scope):
                    return True
        finally:
            self._depth -= 1
        return False

    def declare(self, node: Node, scope: Scope) -> list[str]:
        """Execute a declaration; return the names that it binds."""
        return declare(self, node, scope)
