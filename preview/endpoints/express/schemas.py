"""What validators (joi, zod, yup, celebrate, express-validator) say of a request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.javascript import JSObject, Made

_MAX_DEPTH: Final = 8
_KEYED: Final = frozenset({"object", "keys", "shape", "strictObject", "looseObject", "append", "extend"})
_LISTED: Final = frozenset({"array", "items", "of"})
_TYPES: Final = {
    "integer": "integer", "int": "integer", "isInt": "integer", "number": "number", "isNumeric": "number",
    "isFloat": "number", "float": "number", "boolean": "boolean", "bool": "boolean", "isBoolean": "boolean",
    "isArray": "array",
}  # fmt: skip
_WRAPPERS: Final = frozenset({"celebrate", "optional", "nullable", "required", "strict", "options", "unknown"})
_BODIES: Final = frozenset({"body", "check", "checkBody"})
_PARTS: Final = frozenset({"body", "query", "params", "headers", "cookies"})


@dataclass(slots=True)
class Validated:
    """Fields that a request has."""

    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)


def read_validator(value: object, found: Validated, depth: int = 0) -> None:
    """Add what a schema, a chain of a validator, or a list of them says."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, list):
        for item in value:
            read_validator(item, found, depth + 1)
    elif isinstance(value, JSObject):
        _read_parts(value.names, found, depth)
    elif isinstance(value, Made):
        chain = list(_chain(value))
        root = chain[-1].name.rpartition(".")[2]
        name = chain[-1].arguments[0] if chain[-1].arguments else None
        if isinstance(name, str) and root in _BODIES:
            found.body[name] = _type(chain)
        elif isinstance(name, str) and root == "query":
            found.query[name] = str(_type(chain))
        elif root in _WRAPPERS:
            read_validator(list(chain[-1].arguments), found, depth + 1)
        else:
            _read_schema(value, found, depth)


def _read_schema(value: Made, found: Validated, depth: int) -> None:
    fields = _skeleton(value, 0)
    if isinstance(fields, dict) and fields:
        if fields.keys() <= _PARTS:  # z.object({body: z.object({…})})
            _add(fields, found)
        elif depth == 0:
            found.body.update(fields)


def _read_parts(names: dict[str, object], found: Validated, depth: int) -> None:
    """``{body: Joi.object({…}), query: …}``."""
    if names.keys() & _PARTS:
        _add({name: _skeleton(value, 0) for name, value in names.items()}, found)
    elif depth <= 1:
        for value in names.values():
            if isinstance(value, (Made, JSObject)) and depth == 0:
                _read_known(value, found)


def _read_known(value: object, found: Validated) -> None:
    """``{schema: Joi.object({…})}``."""
    if isinstance(value, Made):
        _read_schema(value, found, 0)


def _add(parts: dict[str, object], found: Validated) -> None:
    body, query = parts.get("body"), parts.get("query")
    if isinstance(body, dict):
        found.body.update(body)
    if isinstance(query, dict):
        found.query.update({name: item if isinstance(item, str) else "string" for name, item in query.items()})


def _chain(value: Made) -> Iterator[Made]:
    """The calls of a chain, the last one first."""
    for _ in range(_MAX_DEPTH * 4):
        yield value
        if not isinstance(value.receiver, Made):
            return
        value = value.receiver


def _skeleton(value: object, depth: int) -> object:
    if depth > _MAX_DEPTH:
        return "object"
    if isinstance(value, JSObject):
        return {name: _skeleton(item, depth + 1) for name, item in value.names.items()}
    if not isinstance(value, Made):
        return "string"
    chain = list(_chain(value))
    fields: dict[str, object] = {}
    for call in reversed(chain):
        name = call.name.rpartition(".")[2]
        given = call.arguments[0] if call.arguments else None
        if name in _KEYED and isinstance(given, JSObject):
            fields.update({key: _skeleton(item, depth + 1) for key, item in given.names.items()})
    if fields:
        return fields
    for call in chain:
        if call.name.rpartition(".")[2] in _LISTED and call.arguments:
            return [_skeleton(call.arguments[0], depth + 1)]
    return _type(chain)


def _type(chain: list[Made]) -> object:
    names = [call.name.rpartition(".")[2] for call in chain]
    if "array" in names:
        return ["string"]
    found = next((_TYPES[name] for name in names if name in _TYPES), "string")
    return ["string"] if found == "array" else "object" if names[-1] in {"object", "record"} else found
