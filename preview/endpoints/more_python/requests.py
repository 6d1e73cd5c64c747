"""Parts of the request that a handler reads: query parameters, and a typed body."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.fastapi.schemas import Schemas, last_name
from preview.endpoints.python import Function, PythonEvaluator

_MAX_NODES: Final = 2_000
_SCALARS: Final = frozenset({"string", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True)
class Reads:
    """The ways in which a framework's handlers read the request.

    Attributes:
        mappings: Attributes with the query parameters: ``query`` for ``request.query["page"]``.
        methods: Methods that return one: ``get_argument`` for ``self.get_argument("page")``.
        bodies: Parameters, or classes around a parameter's type, for the body: ``data``, ``FromJSON``.
        typed: Whether other parameters with a plain type come from the query.
        others: Parameters that are never in the query.
    """

    mappings: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    bodies: frozenset[str] = frozenset()
    typed: bool = False
    others: frozenset[str] = frozenset()


@dataclass(slots=True)
class Request:
    """Parts of a request, in the form of ``Endpoint``."""

    query: dict[str, str] = field(default_factory=dict)
    body: object = None


def read_request(
    function: Function | None, in_path: set[str], reads: Reads, schemas: Schemas, evaluator: PythonEvaluator
) -> Request:
    """Return the parts of the request that a handler reads."""
    found = Request()
    if function is None:
        return found
    if reads.typed:
        _read_parameters(function, in_path, reads, schemas, found)
    for node in _nodes(function, evaluator):
        name = _name_read(node, reads)
        if name:
            found.query.setdefault(name, "string")
    return found


def _read_parameters(function: Function, in_path: set[str], reads: Reads, schemas: Schemas, found: Request) -> None:
    arguments = function.node.args
    for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if item.arg in in_path or item.arg in reads.others or item.annotation is None:
            continue
        annotation, scope = schemas.resolve(item.annotation, function.scope)
        wrapper = last_name(annotation)
        if item.arg in reads.bodies or wrapper in reads.bodies:
            inner = (
                annotation.slice if isinstance(annotation, ast.Subscript) and wrapper in reads.bodies else annotation
            )
            found.body = schemas.describe(inner, scope)
            continue
        if wrapper == "FromQuery" and isinstance(annotation, ast.Subscript):
            annotation = annotation.slice
        elif wrapper.startswith("From"):
            continue
        kind = schemas.describe(annotation, scope)
        if isinstance(kind, str) and kind in _SCALARS:
            found.query[item.arg] = kind
        elif isinstance(kind, list) and kind and kind[0] in _SCALARS:
            found.query[item.arg] = "array"


def _nodes(function: Function, evaluator: PythonEvaluator) -> Iterator[ast.expr]:
    for count, node in enumerate(ast.walk(function.node)):
        if count >= _MAX_NODES:
            return
        if count % 10 == 0:
            evaluator.step()
        if isinstance(node, (ast.Call, ast.Subscript)):
            yield node


def _name_read(node: ast.expr, reads: Reads) -> str:
    """Return the query parameter that an expression reads, or an empty string."""
    if isinstance(node, ast.Subscript):
        return _text(node.slice) if _is_mapping(node.value, reads) else ""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
        return ""
    name = node.func.attr
    if name in reads.methods or (
        name in {"get", "getall", "getone", "getlist"} and _is_mapping(node.func.value, reads)
    ):
        return _text(node.args[0])
    return ""


def _is_mapping(node: ast.expr, reads: Reads) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in reads.mappings


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
