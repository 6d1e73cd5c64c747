"""What a call gives: of the project's functions and classes, of Python's own, of the framework's."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from preview.endpoints.names import UNKNOWN, External
from preview.endpoints.python.builtin import call_builtin
from preview.endpoints.python.members import Members
from preview.endpoints.python.methods import call_method, items_of
from preview.endpoints.python.native import Call, Framework, Native
from preview.endpoints.python.standard import call_standard
from preview.endpoints.python.values import Class, Function, Instance, Record, Scope

if TYPE_CHECKING:
    from preview.endpoints.python.interpreter import Interpreter


class Calls:
    """Follows calls.

    Args:
        interpreter: Gives the values of expressions, and reads the project's functions.
        members: Finds methods.
        framework: Knows what calling the names from outside gives.
    """

    def __init__(self, interpreter: Interpreter, members: Members, framework: Framework) -> None:
        self._interpreter = interpreter
        self._members = members
        self._framework = framework

    def evaluate(self, node: ast.Call, scope: Scope) -> object:
        """What a call gives.

        Raises:
            OutOfBudget: Too much was read.
        """
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        receiver = (
            self._interpreter.evaluate(node.func.value, scope) if isinstance(node.func, ast.Attribute) else UNKNOWN
        )
        if isinstance(receiver, (str, list, dict)) and not isinstance(receiver, Record):
            return call_method(receiver, method, *self._given(node, scope))
        callee = self._members.attribute(receiver, method) if method else self._interpreter.evaluate(node.func, scope)
        if method and isinstance(receiver, Native) and not isinstance(callee, Function):
            arguments, named = self._given(node, scope)
            return receiver.call_method(method, Call(node, arguments, named, scope, self._interpreter))
        if callee is UNKNOWN and not isinstance(node.func, ast.Name):
            return UNKNOWN
        arguments, named = self._given(node, scope)
        call = Call(node, arguments, named, scope, self._interpreter)
        if callee is UNKNOWN:
            return call_builtin(node.func.id, call) if isinstance(node.func, ast.Name) else UNKNOWN
        return self._call_value(callee, call)

    def _call_value(self, callee: object, call: Call) -> object:
        if isinstance(callee, Native):
            return callee.call(call)
        if isinstance(callee, Function):
            return self._interpreter.call(callee, call.arguments, **call.named)
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
                arguments += items_of(self._interpreter.evaluate(item.value, scope)) or []
            else:
                arguments.append(self._interpreter.evaluate(item, scope))
        named: dict[str, object] = {}
        for keyword in node.keywords:
            value = self._interpreter.evaluate(keyword.value, scope)
            if keyword.arg:
                named[keyword.arg] = value
            elif isinstance(value, dict):
                named |= {key: item for key, item in value.items() if isinstance(key, str)}
        return arguments, named

    def _create(self, cls: Class, call: Call) -> object:
        """An object of a class of the project; the framework's own kind where it inherits from it."""
        base = next(
            (item for item in self._members.lineage(cls) if isinstance(item, External) and self._constructs(item)), None
        )
        initialise = self._members.of_class(cls, "__init__")
        if base is None:
            instance = Instance(cls)
            if isinstance(initialise, Function):
                self._interpreter.call(
                    Function(initialise.node, initialise.scope, receiver=instance), call.arguments, **call.named
                )
            else:
                instance.names.update(call.named)
            return instance
        made = self._framework.construct(base, call)
        if isinstance(made, Native):
            made.adopt(cls)
            if made.own_class() is cls and isinstance(initialise, Function):
                self._interpreter.call(
                    Function(initialise.node, initialise.scope, receiver=made), call.arguments, **call.named
                )
        return made

    def _constructs(self, value: External) -> bool:
        return self._framework.is_constructor(value)
