"""Fields of a request that a handler reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tree_sitter import Node

from preview.endpoints.javascript import Function, JavaScriptEvaluator, JSObject, Made, children, first_child, text

_READS: Final = re.compile(rb"\b(?:query|queries|body|json|parseBody)\b")
_MAX_NODES: Final = 4_000
_CASTS: Final = {"parseInt": "integer", "Number": "number", "parseFloat": "number", "Boolean": "boolean"}
_LITERALS: Final = {"number": "integer", "true": "boolean", "false": "boolean", "array": "array"}
_WRAPPING: Final = frozenset({"as_expression", "parenthesized_expression", "non_null_expression", "binary_expression"})
# Methods of Express's objects, not fields of the request.
_NO_FIELDS: Final = frozenset({"toString", "hasOwnProperty", "length", "map", "forEach", "filter"})


class Requests:
    """Reads each handler once: a middleware is used by many routes."""

    def __init__(self, evaluator: JavaScriptEvaluator) -> None:
        self._evaluator = evaluator
        self._known: dict[int, list[tuple[str, str, str]]] = {}

    def read(self, function: Function, query: dict[str, str], body: dict[str, object]) -> None:
        """Add the fields of ``req.query`` and ``req.body`` that a function names.

        Raises:
            OutOfBudget: The budget ran out.
        """
        node = function.node
        if node.id not in self._known:
            worth = _READS.search(node.text or b"")
            self._known[node.id] = list(_fields(node, self._evaluator)) if worth else []
        for part, name, kind in self._known[node.id]:
            if part == "query":
                query.setdefault(name, kind)
            elif part == "body":
                body.setdefault(name, ["string"] if kind == "array" else kind)


def _fields(function: Node, evaluator: JavaScriptEvaluator) -> Iterator[tuple[str, str, str]]:
    """Yield ``query`` or ``body``, the field's name and its JSON type."""
    names, direct = _request_names(function)
    todo, count = [function], 0
    while todo and count < _MAX_NODES:
        node = todo.pop()
        count += 1
        evaluator.step()
        todo += reversed(node.named_children)
        if node.type == "member_expression":
            part = _part(node.child_by_field_name("object"), names, direct)
            name = text(node.child_by_field_name("property"))
            if part and name not in _NO_FIELDS:
                yield part, name, _cast(node)
        elif node.type == "call_expression" and text(node.child_by_field_name("function")) == f"{names}.req.query":
            first = first_child(node.child_by_field_name("arguments"))  # Hono's `c.req.query('page')`
            if first is not None and first.type == "string":
                yield "query", text(first)[1:-1], _cast(node)
        elif node.type in {"variable_declarator", "assignment_expression"}:
            pattern = node.child_by_field_name("name") or node.child_by_field_name("left")
            value = node.child_by_field_name("value") or node.child_by_field_name("right")
            part = _part(value, names, direct)
            if part and pattern is not None and pattern.type == "object_pattern":
                yield from _destructured(pattern, part)


def _request_names(function: Node) -> tuple[str, dict[str, str]]:
    """Return the name of the request, or the names of its parts if it is destructured."""
    listed = children(function.child_by_field_name("parameters"))
    first = function.child_by_field_name("parameter") or (listed[0] if listed else None)
    if len(listed) > 3 and first is not None:
        first = listed[1]
    if first is not None and first.type in {"required_parameter", "optional_parameter"}:
        first = first.child_by_field_name("pattern")
    if first is None or first.type != "object_pattern":
        return text(first) or "req", {}
    direct = {}
    for item in children(first):
        key, value = item.child_by_field_name("key"), item.child_by_field_name("value")
        name = text(key or item)
        direct[text(value) if value is not None else name] = name
    return "", direct


def _part(node: Node | None, request: str, direct: dict[str, str]) -> str:
    """Return ``query`` for ``req.query``, and likewise for other parts; empty for anything else."""
    while node is not None and node.type in _WRAPPING and node.named_children:
        node = node.named_children[0]
    if node is None:
        return ""
    if node.type == "identifier":
        return direct.get(text(node), "")
    if node.type == "await_expression" and text(first_child(node)) == f"{request}.req.json()":  # Hono
        return "body"
    # Koa writes `ctx.query` and `ctx.request.body`.
    if node.type != "member_expression" or text(node.child_by_field_name("object")) not in {
        request,
        f"{request}.request",
    }:
        return ""
    return text(node.child_by_field_name("property"))


def _destructured(pattern: Node, part: str) -> Iterator[tuple[str, str, str]]:
    for item in children(pattern):
        if item.type == "rest_pattern":
            continue
        key = item.child_by_field_name("key") or item.child_by_field_name("left") or item
        default = item.child_by_field_name("right")
        inner = item.child_by_field_name("value")
        if default is None and inner is not None:
            default = inner.child_by_field_name("right")
        yield part, text(key).strip("'\""), _LITERALS.get(default.type, "string") if default is not None else "string"


def _cast(node: Node) -> str:
    """Return the JSON type that a cast implies: ``parseInt(req.query.page)`` is an integer."""
    parent = node.parent
    while parent is not None and parent.type in {*_WRAPPING, "arguments"}:
        parent = parent.parent
    if parent is None or parent.type not in {"call_expression", "unary_expression"}:
        return "string"
    if parent.type == "unary_expression":
        return "number" if text(parent.child_by_field_name("operator")) == "+" else "string"
    return _CASTS.get(text(parent.child_by_field_name("function")).removeprefix("Number."), "string")


_MAX_DEPTH: Final = 8
_KEYED: Final = frozenset({"object", "keys", "shape", "strictObject", "looseObject", "append", "extend"})
_LISTED: Final = frozenset({"array", "items", "of"})
_TYPES: Final = {
    "integer": "integer", "int": "integer", "isInt": "integer", "number": "number", "isNumeric": "number",
    "isFloat": "number", "float": "number", "boolean": "boolean", "bool": "boolean", "isBoolean": "boolean",
    "isArray": "array",
}  # fmt: skip
_WRAPPERS: Final = frozenset({"celebrate", "optional", "nullable", "required", "strict", "options", "unknown"})
_OPTIONAL: Final = frozenset({"optional", "nullable", "readonly"})
_CHECKS: Final = frozenset({"zValidator", "sValidator", "tbValidator", "vValidator"})
_BODIES: Final = frozenset({"body", "check", "checkBody"})
_PARTS: Final = frozenset({"body", "query", "params", "headers", "cookies"})


@dataclass(slots=True)
class Validated:
    """Fields of a request that validators declare."""

    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, object] = field(default_factory=dict)


def read_validator(value: object, found: Validated, depth: int = 0) -> None:
    """Add the fields of a schema, a validator chain, or a list of them."""
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
        elif root in _CHECKS and isinstance(name, str):  # Hono's `zValidator('json', schema)`
            part = "query" if name == "query" else "body" if name in {"json", "form"} else name
            _add({part: skeleton(chain[-1].arguments[1], 0) if len(chain[-1].arguments) > 1 else {}}, found)
        elif root in _WRAPPERS:
            read_validator(list(chain[-1].arguments), found, depth + 1)
        else:
            _read_schema(value, found, depth)


def _read_schema(value: Made, found: Validated, depth: int) -> None:
    fields = skeleton(value, 0)
    if isinstance(fields, dict) and fields:
        if fields.keys() <= _PARTS:  # z.object({body: z.object({…})})
            _add(fields, found)
        elif depth == 0:
            found.body.update(fields)


def _read_parts(names: dict[str, object], found: Validated, depth: int) -> None:
    """Read ``{body: Joi.object({…}), query: …}``."""
    if names.keys() & _PARTS:
        _add({name: skeleton(value, 0) for name, value in names.items()}, found)
    elif depth == 0:
        for value in names.values():
            if isinstance(value, Made):  # {schema: Joi.object({…})}
                _read_schema(value, found, 0)


def _add(parts: dict[str, object], found: Validated) -> None:
    body, query = parts.get("body"), parts.get("query")
    if isinstance(body, dict):
        found.body.update(body)
    if isinstance(query, dict):
        found.query.update({name: item if isinstance(item, str) else "string" for name, item in query.items()})


def _chain(value: Made) -> Iterator[Made]:
    """Yield the calls of a chain, the last one first."""
    for _ in range(_MAX_DEPTH * 4):
        yield value
        if not isinstance(value.receiver, Made):
            return
        value = value.receiver


def skeleton(value: object, depth: int) -> object:
    """Return the form of the values that a validator accepts."""
    if depth > _MAX_DEPTH:
        return "object"
    if isinstance(value, JSObject):
        return {name: skeleton(item, depth + 1) for name, item in value.names.items()}
    if not isinstance(value, Made):
        return "string"
    chain = list(_chain(value))
    fields: dict[str, object] = {}
    for call in reversed(chain):
        name = _last(call)
        given = call.arguments[0] if call.arguments else None
        if name in _OPTIONAL and isinstance(given, Made):
            return skeleton(given, depth + 1)
        if name in _KEYED and isinstance(given, JSObject):
            fields.update({key: skeleton(item, depth + 1) for key, item in given.names.items()})
    if fields:
        return fields
    for call in chain:
        if _last(call) in _LISTED and call.arguments:
            return [skeleton(call.arguments[0], depth + 1)]
    return _type(chain)


def _last(call: Made) -> str:
    """Return the function's name; TypeBox writes ``Object`` for ``object``."""
    name = call.name.rpartition(".")[2]
    return name[:1].lower() + name[1:]


def _type(chain: list[Made]) -> object:
    names = [_last(call) for call in chain]
    if "array" in names:
        return ["string"]
    found = next((_TYPES[name] for name in names if name in _TYPES), "string")
    return ["string"] if found == "array" else "object" if names[-1] in {"object", "record"} else found
