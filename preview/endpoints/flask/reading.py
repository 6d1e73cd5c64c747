"""What a view's body reads from the request."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.flask.described import Parser, type_name
from preview.endpoints.flask.skeletons import form_fields
from preview.endpoints.python import Class, Function, Interpreter

_QUERY: Final = frozenset({"args"})
_BODY: Final = frozenset({"form", "json", "files", "values"})
_MAX_NODES: Final = 3_000


@dataclass(slots=True)
class Request:
    """Names that a view reads.

    Attributes:
        query: Name to JSON type.
        fields: Body field to JSON type.
    """

    query: dict[str, str] = field(default_factory=dict)
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def body(self) -> object:
        """The body's skeleton; None where nothing is read."""
        return dict(self.fields) or None


def read_request(function: Function, interpreter: Interpreter) -> Request:
    """``request.args.get("page", type=int)``, ``request.json["name"]``, forms and parsers in a view's body."""
    found = Request()
    nodes = [node for statement in function.node.body for node in ast.walk(statement)][:_MAX_NODES]
    sources = _named_sources(nodes)
    for node in nodes:
        interpreter.step()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "getlist"}:
            _add(found, _source(node.func.value, sources), node.args[:1], _type(node))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            _add(found, _source(node.value, sources), [node.slice], "string")
        elif isinstance(node, ast.Call):
            _form_or_parser(node, function, interpreter, found)
    return found


def _named_sources(nodes: list[ast.AST]) -> dict[str, str]:
    """Local names for parts of the request: ``data = request.get_json() or {}``."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            source = _source(node.value, {})
            if source:
                found[node.targets[0].id] = source
    return found


def _source(node: ast.expr, names: dict[str, str]) -> str:
    """Which part of the request an expression is: ``args``, ``form``, ``json``, ``files``; empty for none."""
    if isinstance(node, ast.BoolOp):
        node = node.values[0]
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"get_json", "to_dict"}
    ):
        if node.func.attr == "get_json":
            return "json" if _is_request(node.func.value) else ""
        node = node.func.value
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute) and _is_request(node.value) and node.attr in _QUERY | _BODY:
        return node.attr
    return ""


def _is_request(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "request"


def _type(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute) and node.func.attr == "getlist":
        return "array"
    given = next((item.value for item in node.keywords if item.arg == "type"), None)
    given = given or (node.args[2] if len(node.args) > 2 else None)
    return type_name(given) if given is not None else "string"


def _add(found: Request, source: str, key: list[ast.expr], kind: str) -> None:
    name = key[0].value if key and isinstance(key[0], ast.Constant) else None
    if not source or not isinstance(name, str):
        return
    if source in _QUERY:
        if found.query.get(name, "string") == "string":
            found.query[name] = kind
    else:
        found.fields.setdefault(name, "file" if source == "files" else kind)


def _form_or_parser(node: ast.Call, function: Function, interpreter: Interpreter, found: Request) -> None:
    """``LoginForm()`` and ``parser.parse_args()``."""
    if isinstance(node.func, ast.Name) and node.func.id[:1].isupper():
        cls = interpreter.evaluate(node.func, function.scope)
        if isinstance(cls, Class):
            for name, kind in form_fields(cls, interpreter).items():
                found.fields.setdefault(name, kind)
    elif isinstance(node.func, ast.Attribute) and node.func.attr == "parse_args":
        parser = _parser(node.func.value, function, interpreter)
        if parser is None:
            return
        for name, (kind, where) in parser.arguments.items():
            if where in {"args", "query"}:
                found.query[name] = kind
            elif where not in {"headers", "cookies"}:
                found.fields.setdefault(name, kind)


def _parser(node: ast.expr, function: Function, interpreter: Interpreter) -> Parser | None:
    owner = node.value if isinstance(node, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id in {"self", "cls"} and isinstance(node, ast.Attribute):
        receiver = function.receiver
        value = interpreter.attribute(receiver, node.attr) if isinstance(receiver, Class) else None
    else:
        value = interpreter.evaluate(node, function.scope)
    return value if isinstance(value, Parser) else None
