"""Fields of the request that a view's body reads."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.flask.described import FieldUse, Model, Parser, type_name
from preview.endpoints.python import Class, External, Function, Instance, PythonEvaluator

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


def skeleton(value: object, evaluator: PythonEvaluator, depth: int = 0) -> object:
    """Return the skeleton of a schema, a model, a field or a mapping of fields; None for anything else."""
    evaluator.step()
    if depth > _MAX_DEPTH:
        return "object"
    match value:
        case FieldUse():
            return _field(value, evaluator, depth)
        case External() if ".fields." in value.name:
            return _KINDS.get(value.last, "string")
        case Model():
            return _mapping(value.fields, evaluator, depth)
        case dict():
            return _mapping(value, evaluator, depth) or None
        case list():
            inner = skeleton(value[0], evaluator, depth + 1) if value else None
            return None if inner is None else [inner]
        case Class():
            return _schema(value, evaluator, depth)
        case Instance():
            shape = _schema(value.cls, evaluator, depth)
            return [shape] if shape is not None and value.names.get("many") is True else shape
        case _:
            return None


def _mapping(fields: dict[object, object], evaluator: PythonEvaluator, depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(name, str):
            shape = skeleton(value, evaluator, depth + 1)
            found[name] = "string" if shape is None else shape
    return found


def _schema(cls: Class, evaluator: PythonEvaluator, depth: int) -> object:
    """Return the fields of a marshmallow schema and its base classes; None for any other class."""
    lineage = evaluator.lineage(cls)
    if not any(isinstance(item, External) and "Schema" in item.last for item in lineage):
        return None
    found: dict[str, object] = {}
    for ancestor in reversed(lineage):
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if isinstance(value, FieldUse) and value.kind not in _COMPUTED:
                found[name] = skeleton(value, evaluator, depth + 1)
    return found


def _field(use: FieldUse, evaluator: PythonEvaluator, depth: int) -> object:
    first = use.arguments[0] if use.arguments else use.named.get("nested", use.named.get("cls_or_instance"))
    if use.kind in {"Nested", "Pluck"}:
        inner = skeleton(first, evaluator, depth + 1)
        many = use.named.get("many") is True or use.named.get("as_list") is True
        inner = "object" if inner is None else inner
        return [inner] if many and not isinstance(inner, list) else inner
    if use.kind in {"List", "DelimitedList"}:
        inner = skeleton(first, evaluator, depth + 1)
        return ["string" if inner is None else inner]
    return _KINDS.get(use.kind, "string")


def form_fields(cls: Class, evaluator: PythonEvaluator) -> dict[str, object]:
    """Return the fields of a WTForms form; empty for any other class."""
    lineage = evaluator.lineage(cls)
    if not any(isinstance(item, External) and item.last.endswith("Form") for item in lineage):
        return {}
    found: dict[str, object] = {}
    for ancestor in reversed(lineage):
        for name, value in ancestor.body.names.items() if isinstance(ancestor, Class) else ():
            if isinstance(value, FieldUse) and value.kind not in _NOT_INPUT:
                found[name] = _KINDS.get(value.kind, "string")
    return found


_QUERY: Final = frozenset({"args"})
_BODY: Final = frozenset({"form", "json", "files", "values"})
_MAX_NODES: Final = 3_000


@dataclass(slots=True)
class Request:
    """Fields of the request that a view reads.

    Attributes:
        query: Maps query parameters to JSON types.
        fields: Maps body fields to JSON types.
    """

    query: dict[str, str] = field(default_factory=dict)
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def body(self) -> object:
        """The body's skeleton; None if the view reads no field."""
        return dict(self.fields) or None


def read_request(function: Function, evaluator: PythonEvaluator) -> Request:
    """Return the fields that a view's body reads, as in ``request.args.get("page", type=int)`` or by a form."""
    found = Request()
    nodes = [node for statement in function.node.body for node in ast.walk(statement)][:_MAX_NODES]
    sources = _named_sources(nodes)
    for node in nodes:
        evaluator.step()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "getlist"}:
            _add(found, _source(node.func.value, sources), node.args[:1], _type(node))
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            _add(found, _source(node.value, sources), [node.slice], "string")
        elif isinstance(node, ast.Call):
            _form_or_parser(node, function, evaluator, found)
    return found


def _named_sources(nodes: list[ast.AST]) -> dict[str, str]:
    """Return local names for parts of the request: ``data = request.get_json() or {}``."""
    found: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            source = _source(node.value, {})
            if source:
                found[node.targets[0].id] = source
    return found


def _source(node: ast.expr, names: dict[str, str]) -> str:
    """Return the part of the request that an expression reads: ``args``, ``form``, ``json``, ``files``; else empty."""
    if isinstance(node, ast.BoolOp):
        node = node.values[0]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr == "get_json":
            return "json" if _is_request(node.func.value) else ""
        node = node.func.value if node.func.attr == "to_dict" else node
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


def _form_or_parser(node: ast.Call, function: Function, evaluator: PythonEvaluator, found: Request) -> None:
    """Add the fields of ``LoginForm()`` and ``parser.parse_args()``."""
    if isinstance(node.func, ast.Name) and node.func.id[:1].isupper():
        cls = evaluator.evaluate(node.func, function.scope)
        if isinstance(cls, Class):
            for name, kind in form_fields(cls, evaluator).items():
                found.fields.setdefault(name, kind)
    elif isinstance(node.func, ast.Attribute) and node.func.attr == "parse_args":
        parser = _parser(node.func.value, function, evaluator)
        if parser is None:
            return
        for name, (kind, where) in parser.arguments.items():
            if where in {"args", "query"}:
                found.query[name] = kind
            elif where not in {"headers", "cookies"}:
                found.fields.setdefault(name, kind)


def _parser(node: ast.expr, function: Function, evaluator: PythonEvaluator) -> Parser | None:
    owner = node.value if isinstance(node, ast.Attribute) else None
    if isinstance(owner, ast.Name) and owner.id in {"self", "cls"} and isinstance(node, ast.Attribute):
        receiver = function.receiver
        value = evaluator.attribute(receiver, node.attr) if isinstance(receiver, Class) else None
    else:
        value = evaluator.evaluate(node, function.scope)
    return value if isinstance(value, Parser) else None
