"""Skeletons of the data that serializers read and write: ``{"title": "string", "tags": ["string"]}``."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Final

from preview.endpoints.django.classes import find_value
from preview.endpoints.django.query import Field, SerializerUse
from preview.endpoints.fastapi.schemas import Schemas
from preview.endpoints.python import Class, External, Function, PythonEvaluator

_MAX_DEPTH: Final = 5
_MAX_CALLS: Final = 400

Skeleton = dict[str, object]


class Serializers:
    """Reads each serializer once.

    Attributes:
        models: Reads Ninja's schemas, which are pydantic models.
    """

    def __init__(self, evaluator: PythonEvaluator) -> None:
        self.evaluator = evaluator
        self.models = Schemas(evaluator)
        self._skeletons: dict[int, Skeleton | None] = {}
        self._columns_of: dict[int, Skeleton] = {}

    def of_class(self, view: Class, action: str) -> Skeleton | None:
        """Return the skeleton of a view's ``serializer_class``; the first class if it depends on the action."""
        found = find_value(view, "serializer_class", self.evaluator)
        if not isinstance(found, Class):
            chosen = find_value(view, "get_serializer_class", self.evaluator)
            found = self.evaluator.call(chosen) if isinstance(chosen, Function) and action else None
        return self._skeleton(found, 0) if isinstance(found, Class) and self._is_serializer(found) else None

    def used_in(self, function: Function, nodes: Iterable[ast.AST]) -> tuple[object, object]:
        """Return request and response of a function that calls ``BookSerializer(data=…)``; None for unknown ones."""
        taken: object = None
        given: object = None
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        for node in calls[:_MAX_CALLS]:
            named = {item.arg: item.value for item in node.keywords}
            if not _may_be_serializer(node.func, named):
                continue
            cls = self.evaluator.evaluate(node.func, function.scope)
            if isinstance(cls, Class) and self._is_serializer(cls):
                skeleton = self._skeleton(cls, 0)
                many = isinstance(flag := named.get("many"), ast.Constant) and flag.value is True
                if "data" in named:
                    taken = taken or skeleton
                elif skeleton:
                    given = given or ([skeleton] if many else skeleton)
        return taken, given or taken

    def _is_serializer(self, cls: Class) -> bool:
        return any(
            isinstance(item, External) and item.last.endswith("Serializer") for item in self.evaluator.lineage(cls)
        )

    def _skeleton(self, cls: Class, depth: int) -> Skeleton | None:
        if depth > _MAX_DEPTH:
            return None
        # Classes live as long as the evaluator, so an id is never reused.
        if id(cls) not in self._skeletons:
            self._skeletons[id(cls)] = self._read(cls, depth)
        return self._skeletons[id(cls)]

    def _read(self, cls: Class, depth: int) -> Skeleton | None:
        declared: Skeleton = {}
        for item in reversed(self.evaluator.lineage(cls)):
            if isinstance(item, Class):
                self.evaluator.step()
                declared |= {
                    name: self._value(value, depth)
                    for name, value in item.body.names.items()
                    if isinstance(value, (Field, SerializerUse))
                }
        meta = find_value(cls, "Meta", self.evaluator)
        if not isinstance(meta, Class):
            return declared or None
        model = find_value(meta, "model", self.evaluator)
        columns = self._columns(model) if isinstance(model, Class) else {}
        wanted = find_value(meta, "fields", self.evaluator)
        hidden = find_value(meta, "exclude", self.evaluator)
        names = (
            [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else [*columns, *declared]
        )
        excluded = hidden if isinstance(hidden, list) else []
        both = columns | declared
        return {name: both.get(name, "string") for name in names if name not in excluded} or None

    def _columns(self, model: Class) -> Skeleton:
        if id(model) in self._columns_of:
            return self._columns_of[id(model)]
        columns: Skeleton = {"id": "integer"}
        for item in reversed(self.evaluator.lineage(model)):
            if isinstance(item, Class):
                columns |= {
                    name: ["integer"] if value.json_type == "array" else value.json_type
                    for name, value in item.body.names.items()
                    if isinstance(value, Field)
                }
        self._columns_of[id(model)] = columns
        return columns

    def _value(self, value: Field | SerializerUse, depth: int) -> object:
        if isinstance(value, SerializerUse):
            inner = self._skeleton(value.cls, depth + 1) if value.cls else None
            return [inner or {}] if value.many else inner or {}
        if value.json_type == "array":
            child = value.options.get("child")
            return [self._value(child, depth + 1) if isinstance(child, (Field, SerializerUse)) else "string"]
        return [value.json_type] if value.options.get("many") is True else value.json_type


def _may_be_serializer(callee: ast.expr, named: dict[str | None, ast.expr]) -> bool:
    """Return whether a call may be a serializer: a cheap check before the call is evaluated."""
    name = callee.attr if isinstance(callee, ast.Attribute) else callee.id if isinstance(callee, ast.Name) else ""
    return bool(name) and (name.endswith(("Serializer", "serializer")) or not named.keys().isdisjoint({"data", "many"}))
