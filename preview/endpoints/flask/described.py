"""Declarations of data (fields, models and parsers) and of class-based views, in Flask and packages around it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.python import UNKNOWN, Call, Class, External, Function, Native, PythonEvaluator

_TYPES: Final = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "list": "array"}
_MAX_FIELDS: Final = 500


@dataclass(eq=False, slots=True)
class FieldUse(Native):
    """``fields.String(…)`` of marshmallow, webargs, RESTful, RESTX or WTForms.

    Attributes:
        kind: ``String``, ``Nested``, ``IntegerField`` …
    """

    kind: str
    arguments: list[object]
    named: dict[str, object]


@dataclass(eq=False, slots=True)
class Model(Native):
    """``api.model("Name", {…})`` and the like."""

    fields: dict[object, object]

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``Model.clone`` and ``Model.inherit``."""
        return make_described(name, call, self) if name in {"clone", "inherit", "extend"} else UNKNOWN


@dataclass(eq=False, slots=True)
class Parser(Native):
    """``reqparse.RequestParser()``.

    Attributes:
        arguments: Maps a name to its JSON type and its location (``args``, ``json``, ``form``; empty for any).
    """

    arguments: dict[str, tuple[str, str]] = field(default_factory=dict)

    def call_method(self, name: str, call: Call) -> object:
        """Evaluate ``parser.add_argument(…)`` and ``parser.copy()``."""
        if name == "copy":
            return Parser(dict(self.arguments))
        argument = call.argument(0, "name")
        if name == "add_argument" and isinstance(argument, str) and len(self.arguments) < _MAX_FIELDS:
            node = next((item.value for item in call.node.keywords if item.arg == "type"), None)
            where = call.named.get("location")
            where = where[0] if isinstance(where, list) and where else where
            kind = "array" if call.named.get("action") in {"append", "split"} else type_name(node)
            self.arguments[argument.strip("-")] = (kind, where if isinstance(where, str) else "")
        elif name in {"remove_argument", "replace_argument"} and isinstance(argument, str):
            self.arguments.pop(argument, None)
        return self if name != "parse_args" else UNKNOWN


def type_name(node: ast.expr | None) -> str:
    """Return the JSON type for ``type=int`` and the like."""
    if isinstance(node, ast.Call):
        node = node.func
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    if name == "FileStorage":
        return "file"
    return _TYPES.get(name, {"inputs": "string", "boolean": "boolean", "positive": "integer"}.get(name, "string"))


def make_described(name: str, call: Call, base: Model | None = None) -> object:
    """Return the model or parser that a method of an ``Api`` or ``Namespace`` makes; ``UNKNOWN`` for other methods."""
    if name == "parser":
        return Parser()
    if name not in {"model", "schema_model", "inherit", "clone", "extend"}:
        return UNKNOWN
    fields: dict[object, object] = dict(base.fields) if base else {}
    for item in (*call.arguments, *call.named.values()):
        if isinstance(item, (Model, dict)):
            fields |= item.fields if isinstance(item, Model) else item
    return Model(fields)


VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
_WRAPPERS = 5


@dataclass(eq=False, slots=True)
class ClassView(Native):
    """``View.as_view("name")``, or a class that is routed to directly."""

    cls: Class

    def attribute(self, name: str) -> object:
        """Evaluate ``view.view_class``."""
        return self.cls if name == "view_class" else UNKNOWN


def class_methods(cls: Class, evaluator: PythonEvaluator) -> tuple[str, ...]:
    """Return the methods of a class of views, in upper case; GET by default."""
    given = evaluator.attribute(cls, "methods")
    if isinstance(given, list):
        return tuple(item.upper() for item in given if isinstance(item, str))
    names = {
        name for item in evaluator.lineage(cls) if isinstance(item, Class) for name in item.body.names if name in VERBS
    }
    return tuple(verb.upper() for verb in VERBS if verb in names)


def handler(cls: Class, method: str, evaluator: PythonEvaluator) -> Function | None:
    """Return the function of a class that answers a method."""
    for name in (method.lower(), "dispatch_request"):
        found = evaluator.attribute(cls, name)
        if isinstance(found, Function):
            return Function(found.node, found.scope, receiver=cls)
    return None


def wrapped_view(node: ast.expr | None, call: Call) -> object:
    """Return the view inside unknown wrappers: ``csrf.exempt(login_required(View.as_view("x")))``."""
    for _ in range(_WRAPPERS):
        if not isinstance(node, ast.Call):
            break
        if isinstance(node.func, ast.Attribute) and node.func.attr == "as_view":
            owner = call.evaluator.evaluate(node.func.value, call.scope)
            return ClassView(owner) if isinstance(owner, Class) else UNKNOWN
        values = [call.evaluator.evaluate(item, call.scope) for item in node.args]
        found = next((item for item in values if isinstance(item, (ClassView, Function))), None)
        if found is not None:
            return found
        node = node.args[0] if node.args else None
    return UNKNOWN


def as_view(call: Call) -> object:
    """Return the result of ``X.as_view(…)``."""
    func = call.node.func
    owner = call.evaluator.evaluate(func.value, call.scope) if isinstance(func, ast.Attribute) else UNKNOWN
    if isinstance(owner, Class):
        return ClassView(owner)
    return owner if isinstance(owner, External) else UNKNOWN
