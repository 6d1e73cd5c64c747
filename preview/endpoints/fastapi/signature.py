"""The parameters of a route's function: path, query and body."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from preview.endpoints.fastapi.schemas import Kind, Schemas, last_name
from preview.endpoints.python import Class, Function, PythonEvaluator, Scope

# Depth limit for nested dependencies.
_MAX_DEPTH = 6
_SOURCES = frozenset({"Query", "Path", "Body", "Form", "File", "Header", "Cookie", "Depends", "Security"})
_PATH_NAME = re.compile(r"\{([^}:]+)")
_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(slots=True)
class Parameters:
    """Parameters of a route.

    Attributes:
        path: Maps the path's parameters to their JSON types.
        query: Maps query parameters to their JSON types.
        models: Maps parameters that FastAPI reads from the whole body to their skeletons.
        fields: Maps parameters for single values in the body or the form to their skeletons.
    """

    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    models: dict[str, object] = field(default_factory=dict)
    fields: dict[str, object] = field(default_factory=dict)

    @property
    def body(self) -> object:
        """The body's skeleton. A single model is the body itself; several models are keyed by parameter."""
        if len(self.models) == 1 and not self.fields:
            return next(iter(self.models.values()))
        return {**self.models, **self.fields} or None


def read_parameters(function: Function, path: str, evaluator: PythonEvaluator, schemas: Schemas) -> Parameters:
    """Return the parameters of a route's function and of its dependencies."""
    in_path = _PATH_NAME.findall(path)
    reader = _Reader(set(in_path), evaluator, schemas, Parameters(dict.fromkeys(in_path, "string")))
    reader.read(function, 0)
    return reader.found


@dataclass(slots=True)
class _Reader:
    in_path: set[str]
    evaluator: PythonEvaluator
    schemas: Schemas
    found: Parameters = field(default_factory=Parameters)

    def read(self, function: Function, depth: int) -> None:
        if depth > _MAX_DEPTH:
            return
        arguments = function.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        if function.receiver is not None or [item.arg for item in positional[:1]] == ["self"]:
            positional = positional[1:]
        missing: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        defaults = [*missing, *arguments.defaults][-len(positional) :] if positional else []
        pairs = [
            *zip(positional, defaults, strict=True),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            self._take(argument, default, function.scope, depth)

    def _take(self, argument: ast.arg, default: ast.expr | None, scope: Scope, depth: int) -> None:
        annotation, inner = self.schemas.resolve(argument.annotation, scope)
        source = _source(annotation, default)
        kind = last_name(source)
        if kind in {"Depends", "Security"} and isinstance(source, ast.Call):
            in_annotation = source is not default
            self._depend(source, annotation, inner if in_annotation else scope, inner, depth)
            return
        name = _alias(source) or argument.arg
        if argument.arg in self.in_path:
            self.found.path[name] = _json_type(self.schemas.describe(annotation, inner) or "string")
        if kind in {"Header", "Cookie", "Path"} or argument.arg in self.in_path:
            return
        described = self.schemas.describe(annotation, inner) if annotation else _type_of(default)
        if kind in {"Body", "Form", "File"}:
            self._in_body(argument.arg, name, kind, described)
        elif kind == "Query":
            self.found.query[name] = _json_type(described)
        elif self._is_body(described):
            self.found.models[argument.arg] = described
        elif described == "file" or described == ["file"]:
            self.found.fields[name] = described
        elif described is not None and described != "null":
            self.found.query[name] = _json_type(described)

    def _is_body(self, described: object) -> bool:
        """Return whether the body has the parameter by default: models, lists and mappings."""
        return isinstance(described, dict) or (isinstance(described, list) and described != ["file"])

    def _in_body(self, parameter: str, name: str, kind: str, described: object) -> None:
        if kind == "Body" and isinstance(described, (dict, list)):
            self.found.models[parameter] = described
        else:
            self.found.fields[name] = _file(described) if kind == "File" else described or "string"

    def _depend(self, source: ast.Call, annotation: ast.expr | None, scope: Scope, inner: Scope, depth: int) -> None:
        """Add a dependency's parameters to the route's."""
        if source.args:
            target = self.evaluator.evaluate(source.args[0], scope)
        else:  # Depends() stands for the annotated class itself
            bare = annotation.slice if isinstance(annotation, ast.Subscript) else annotation
            first = bare.elts[0] if isinstance(bare, ast.Tuple) and bare.elts else bare
            target = self.evaluator.evaluate(first, inner)
        if isinstance(target, Function):
            self.read(target, depth + 1)
        elif isinstance(target, Class):
            self._depend_on_class(target, depth)

    def _depend_on_class(self, cls: Class, depth: int) -> None:
        initialise = self.evaluator.attribute(cls, "__init__")
        if isinstance(initialise, Function):
            self.read(Function(initialise.node, initialise.scope, receiver=cls), depth + 1)
        elif self.schemas.kind(cls) is Kind.MODEL:
            fields = self.schemas.model(cls)
            if isinstance(fields, dict):
                self.found.query.update({name: _json_type(value) for name, value in fields.items()})


def _source(annotation: ast.expr | None, default: ast.expr | None) -> ast.expr | None:
    """Return ``Query(…)`` or the like, from the default or from ``Annotated``."""
    if isinstance(default, ast.Call) and last_name(default) in _SOURCES:
        return default
    if isinstance(annotation, ast.Subscript) and last_name(annotation) == "Annotated":
        metadata = annotation.slice.elts[1:] if isinstance(annotation.slice, ast.Tuple) else []
        return next((item for item in metadata if last_name(item) in _SOURCES), None)
    return None


def _alias(source: ast.expr | None) -> str | None:
    if not isinstance(source, ast.Call):
        return None
    keyword = next((item for item in source.keywords if item.arg == "alias"), None)
    if keyword and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
        return keyword.value.value
    return None


def _type_of(default: ast.expr | None) -> str:
    return _JSON_TYPES.get(type(default.value), "string") if isinstance(default, ast.Constant) else "string"


def _file(described: object) -> object:
    """Return the skeleton of a ``File()`` parameter, whose annotation may be ``bytes`` or missing."""
    return ["file"] if isinstance(described, list) else "file"


def _json_type(described: object) -> str:
    if isinstance(described, list):
        return "array"
    if isinstance(described, dict):
        return "object"
    return described if isinstance(described, str) else "string"
