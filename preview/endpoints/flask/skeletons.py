"""Schemas of marshmallow, RESTX and WTForms as skeletons: ``{"name": "string"}``."""

from __future__ import annotations

from typing import Final

from preview.endpoints.flask.described import FieldUse, Model
from preview.endpoints.python import Class, External, Instance, Interpreter

_MAX_DEPTH: Final = 6
_KINDS: Final = {
    **dict.fromkeys(("Integer", "Int", "IntegerField"), "integer"),
    **dict.fromkeys(("Float", "Number", "Decimal", "Arbitrary", "Fixed", "FloatField", "DecimalField"), "number"),
    **dict.fromkeys(("Boolean", "Bool", "BooleanField"), "boolean"),
    **dict.fromkeys(("FileField", "File", "MultipleFileField"), "file"),
    **dict.fromkeys(("Dict", "Raw", "Mapping", "JSON", "Wildcard"), "object"),
    **dict.fromkeys(("SelectMultipleField", "FieldList"), "array"),
}
_NOT_INPUT: Final = frozenset({"SubmitField", "HiddenField", "CSRFTokenField"})
_COMPUTED: Final = frozenset({"Method", "Function", "URLFor", "AbsoluteURLFor", "Hyperlinks", "Url", "Constant"})


def skeleton(value: object, interpreter: Interpreter, depth: int = 0) -> object:
    """The skeleton of a schema, a model, a field or a mapping of fields; None where it is none."""
    interpreter.step()
    if depth > _MAX_DEPTH:
        return "object"
    match value:
        case FieldUse():
            return _field(value, interpreter, depth)
        case External() if ".fields." in value.name:
            return _KINDS.get(value.last, "string")
        case Model():
            return _mapping(value.fields, interpreter, depth)
        case dict():
            return _mapping(value, interpreter, depth) or None
        case list():
            inner = skeleton(value[0], interpreter, depth + 1) if value else None
            return None if inner is None else [inner]
        case Class():
            return _schema(value, interpreter, depth)
        case Instance():
            shape = _schema(value.cls, interpreter, depth)
            return [shape] if shape is not None and value.names.get("many") is True else shape
        case _:
            return None


def _mapping(fields: dict[object, object], interpreter: Interpreter, depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(name, str):
            shape = skeleton(value, interpreter, depth + 1)
            found[name] = "string" if shape is None else shape
    return found


def _schema(cls: Class, interpreter: Interpreter, depth: int) -> object:
    """The fields of a marshmallow schema, its own and those above; None for any other class."""
    lineage = interpreter.lineage(cls)
    if not any(isinstance(item, External) and "Schema" in item.last for item in lineage):
        return None
    found: dict[str, object] = {}
    for ancestor in reversed(lineage):
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if isinstance(value, FieldUse) and value.kind not in _COMPUTED:
                found[name] = skeleton(value, interpreter, depth + 1)
    return found


def _field(use: FieldUse, interpreter: Interpreter, depth: int) -> object:
    first = use.arguments[0] if use.arguments else use.named.get("nested", use.named.get("cls_or_instance"))
    if use.kind in {"Nested", "Pluck"}:
        inner = skeleton(first, interpreter, depth + 1)
        many = use.named.get("many") is True or use.named.get("as_list") is True
        inner = "object" if inner is None else inner
        return [inner] if many and not isinstance(inner, list) else inner
    if use.kind in {"List", "DelimitedList"}:
        inner = skeleton(first, interpreter, depth + 1)
        return ["string" if inner is None else inner]
    return _KINDS.get(use.kind, "string")


def form_fields(cls: Class, interpreter: Interpreter) -> dict[str, object]:
    """The fields of a WTForms form; empty for any other class."""
    lineage = interpreter.lineage(cls)
    if not any(isinstance(item, External) and item.last.endswith("Form") for item in lineage):
        return {}
    found: dict[str, object] = {}
    for ancestor in reversed(lineage):
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if isinstance(value, FieldUse) and value.kind not in _NOT_INPUT:
                found[name] = _KINDS.get(value.kind, "string")
    return found
