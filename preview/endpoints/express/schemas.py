"""Requests as routes declare them: JSON Schema, TypeBox, zod and joi."""

from __future__ import annotations

from typing import Final

from preview.endpoints.express.requests import Validated, skeleton
from preview.endpoints.javascript import JavaScriptEvaluator, JSObject, Made

_QUERY: Final = ("querystring", "query")
_BODY: Final = ("body", "payload")
_MAX_DEPTH: Final = 8
_KINDS: Final = frozenset({"integer", "number", "string", "boolean", "object"})


def read_schema(schema: JSObject, found: Validated, evaluator: JavaScriptEvaluator) -> None:
    """Add the fields of a route's declared request."""
    for name in _QUERY:
        fields = _fields(evaluator.settle(schema.names.get(name)), evaluator)
        if isinstance(fields, dict):
            found.query |= {key: item if isinstance(item, str) else "array" for key, item in fields.items()}
    for name in _BODY:
        value = evaluator.settle(schema.names.get(name))
        content = value.names.get("content") if isinstance(value, JSObject) else None
        if isinstance(content, JSObject) and content.names:  # {content: {'application/json': {schema}}}
            media = evaluator.settle(next(iter(content.names.values())))
            value = evaluator.settle(media.names.get("schema")) if isinstance(media, JSObject) else None
        fields = _fields(value, evaluator)
        if isinstance(fields, dict):
            found.body.update(fields)


def _fields(value: object, evaluator: JavaScriptEvaluator) -> object:
    return _json(value, evaluator, 0) if isinstance(value, JSObject) else skeleton(value, 0)


def _json(value: object, evaluator: JavaScriptEvaluator, depth: int) -> object:
    """Return the skeleton of a JSON Schema; of an object without a type, the one of its fields."""
    value = evaluator.settle(value)
    if isinstance(value, Made):
        return skeleton(value, depth)
    if not isinstance(value, JSObject) or depth > _MAX_DEPTH:
        return "string"
    evaluator.step()
    fields = evaluator.settle(value.names.get("properties"))
    if isinstance(fields, JSObject):
        return {name: _json(item, evaluator, depth + 1) for name, item in fields.names.items()}
    kind = value.names.get("type")
    if kind == "array":
        return [_json(value.names.get("items"), evaluator, depth + 1)]
    if isinstance(kind, str):
        return kind if kind in _KINDS else "string"
    if depth == 0 and not value.names.keys() & {"$ref", "anyOf", "oneOf", "allOf"}:
        return {name: _json(item, evaluator, depth + 1) for name, item in value.names.items()}
    return "string"
