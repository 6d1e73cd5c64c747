"""Which fields of a request a handler reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tree_sitter import Node

from preview.endpoints.javascript import Function, Interpreter, children, text

_READS: Final = re.compile(rb"\b(?:query|body)\b")
_MAX_NODES: Final = 4_000
_CASTS: Final = {"parseInt": "integer", "Number": "number", "parseFloat": "number", "Boolean": "boolean"}
_LITERALS: Final = {"number": "integer", "true": "boolean", "false": "boolean", "array": "array"}
_WRAPPING: Final = frozenset({"as_expression", "parenthesized_expression", "non_null_expression", "binary_expression"})
# Methods of what Express gives, no fields.
_NO_FIELDS: Final = frozenset({"toString", "hasOwnProperty", "length", "map", "forEach", "filter"})


class Requests:
    """Reads handlers, each once: a middleware stands before many routes.

    Args:
        interpreter: Counts what is read.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._known: dict[int, list[tuple[str, str, str]]] = {}

    def read(self, function: Function, query: dict[str, str], body: dict[str, object]) -> None:
        """Add the fields of ``req.query`` and ``req.body`` that a function names.

        Raises:
            OutOfBudget: Too much was read.
        """
        node = function.node
        if node.id not in self._known:
            worth = _READS.search(node.text or b"")
            self._known[node.id] = list(_fields(node, self._interpreter)) if worth else []
        for part, name, kind in self._known[node.id]:
            if part == "query":
                query.setdefault(name, kind)
            elif part == "body":
                body.setdefault(name, ["string"] if kind == "array" else kind)


def _fields(function: Node, interpreter: Interpreter) -> Iterator[tuple[str, str, str]]:
    """``query`` or ``body``, the field, its JSON type."""
    names, direct = _request_names(function)
    todo, count = [function], 0
    while todo and count < _MAX_NODES:
        node = todo.pop()
        count += 1
        interpreter.step()
        todo += reversed(node.named_children)
        if node.type == "member_expression":
            part = _part(node.child_by_field_name("object"), names, direct)
            name = text(node.child_by_field_name("property"))
            if part and name not in _NO_FIELDS:
                yield part, name, _cast(node)
        elif node.type in {"variable_declarator", "assignment_expression"}:
            pattern = node.child_by_field_name("name") or node.child_by_field_name("left")
            value = node.child_by_field_name("value") or node.child_by_field_name("right")
            part = _part(value, names, direct)
            if part and pattern is not None and pattern.type == "object_pattern":
                yield from _destructured(pattern, part)


def _request_names(function: Node) -> tuple[str, dict[str, str]]:
    """What the request is called; or what its parts are called, where it is taken apart at once."""
    declared = function.child_by_field_name("parameters")
    listed = children(declared) if declared is not None else []
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
    """``query`` for ``req.query``, and likewise; empty for anything else."""
    while node is not None and node.type in _WRAPPING and node.named_children:
        node = node.named_children[0]
    if node is None:
        return ""
    if node.type == "identifier":
        return direct.get(text(node), "")
    if node.type != "member_expression" or text(node.child_by_field_name("object")) != request:
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
    """``parseInt(req.query.page)`` is a number."""
    parent = node.parent
    while parent is not None and parent.type in {*_WRAPPING, "arguments"}:
        parent = parent.parent
    if parent is None or parent.type not in {"call_expression", "unary_expression"}:
        return "string"
    if parent.type == "unary_expression":
        return "number" if text(parent.child_by_field_name("operator")) == "+" else "string"
    return _CASTS.get(text(parent.child_by_field_name("function")).removeprefix("Number."), "string")
