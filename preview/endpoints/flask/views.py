"""What a rule leads to: functions and classes of views, and the methods that they answer to."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, Interpreter, Native

VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_WRAPPERS = 5


@dataclass(eq=False, slots=True)
class ClassView(Native):
    """``View.as_view("name")``, or a class that something routes to as it is."""

    cls: Class

    def attribute(self, name: str) -> object:
        """``view.view_class``."""
        return self.cls if name == "view_class" else UNKNOWN


def class_methods(cls: Class, interpreter: Interpreter) -> tuple[str, ...]:
    """The methods that a class of views answers to, in upper case; GET where it says nothing."""
    given = interpreter.attribute(cls, "methods")
    if isinstance(given, list):
        return tuple(item.upper() for item in given if isinstance(item, str))
    names = {
        name
        for item in interpreter.lineage(cls)
        if isinstance(item, Class)
        for name in item.body.names
        if name in VERBS
    }
    return tuple(verb.upper() for verb in VERBS if verb in names)


def handler(cls: Class, method: str, interpreter: Interpreter) -> Function | None:
    """The function of a class that answers to a method."""
    for name in (method.lower(), "dispatch_request"):
        found = interpreter.attribute(cls, name)
        if isinstance(found, Function):
            return Function(found.node, found.scope, receiver=cls)
    return None


def wrapped_view(node: ast.expr | None, call: Call) -> object:
    """The view inside of wrappers that are not known: ``csrf.exempt(login_required(View.as_view("x")))``."""
    for _ in range(_WRAPPERS):
        if not isinstance(node, ast.Call):
            break
        if isinstance(node.func, ast.Attribute) and node.func.attr == "as_view":
            owner = call.interpreter.evaluate(node.func.value, call.scope)
            return ClassView(owner) if isinstance(owner, Class) else UNKNOWN
        values = [call.interpreter.evaluate(item, call.scope) for item in node.args]
        found = next((item for item in values if isinstance(item, (ClassView, Function))), None)
        if found is not None:
            return found
        node = node.args[0] if node.args else None
    return UNKNOWN


def as_view(call: Call) -> object:
    """What ``X.as_view(…)`` gives."""
    func = call.node.func
    owner = call.interpreter.evaluate(func.value, call.scope) if isinstance(func, ast.Attribute) else UNKNOWN
    if isinstance(owner, Class):
        return ClassView(owner)
    return UNKNOWN if not isinstance(owner, External) else owner
