"""Operations of an application, from its OpenAPI document or from endpoints that the service has found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
MOST_OPERATIONS = 300
_MOST_PARAMETERS = 50
_MOST_FOLLOWED = 20
_MOST_DEPTH = 6
_MOST_FIELDS = 100
_PARAMETER = re.compile(r"\{([^{}/]{1,200})\}")
_WORDS = {"string", "integer", "number", "boolean", "array", "object", "null"}


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation; ``where`` is ``path``, ``query``, ``header`` or ``cookie``."""

    name: str
    where: str
    is_required: bool
    schema: Mapping[str, Any]


@dataclass
class Operation:
    """One method on one path.

    Attributes:
        index: Position in the list that the service has.
        method: Upper case.
        path: Template, ``/items/{id}``.
        body: Schema of the request's JSON or form; None if unknown or without one.
        body_kind: ``json``, ``form``, ``multipart``; empty without a body.
        responses: Schema of each documented status; None for one without a schema.
        is_documented: Whether an OpenAPI document has it.
        learned: Fields that answers have named or shown, if no body is known.
        types: Types of fields that answers have named, if no document describes the body.
        is_plain: Whether the names of fields suggest no types: those of the source were accepted.
    """

    index: int
    method: str
    path: str
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Any] | None = None
    body_kind: str = ""
    body_required: bool = False
    responses: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    is_documented: bool = False
    learned: dict[str, Any] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    is_plain: bool = False

    def __post_init__(self) -> None:
        """Find the path's parameters."""
        self.names = _PARAMETER.findall(self.path)

    @property
    def collection(self) -> str:
        """Path before the last parameter, without names: objects of it are known under this key."""
        return collection_of(self.path)

    @property
    def ends_with_parameter(self) -> bool:
        """True for ``/items/{id}``, false for ``/items`` and ``/items/{id}/parts``."""
        return self.path.rstrip("/").endswith("}")

    def of(self, where: str) -> list[Parameter]:
        """Return the parameters of one kind."""
        return [one for one in self.parameters if one.where == where]


def plain_path(path: str) -> str:
    """Return a template without names and without a slash at its end."""
    return _PARAMETER.sub("{}", path).rstrip("/")


def collection_of(path: str, name: str | None = None) -> str:
    """Return the part of a template before a parameter, by default the last one, without names."""
    place = path.rfind("{") if name is None else path.find("{" + name + "}")
    return plain_path(path if place < 0 else path[:place])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


class Document:
    """An OpenAPI document; none of it is trusted, and no other document is read."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    def follow(self, value: object) -> Mapping[str, Any]:
        """Resolve local references, each ``$ref`` of a chain; empty for anything else."""
        for _ in range(_MOST_FOLLOWED):
            reference = _mapping(value).get("$ref")
            if not isinstance(reference, str):
                return _mapping(value)
            if not reference.startswith("#/") or len(reference) > 1000:
                return {}
            value = self.document
            for part in reference[2:].split("/"):
                value = _mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
        return {}

    def with_parts(self, schema: Mapping[str, Any], most: int) -> tuple[dict[str, Any], int]:
        """Return a schema with the parts of the document that it refers to, and how many values these have.

        Compiled as a whole the document would be kept once for each schema: 20,000 paths fill the memory.

        Args:
            schema: The schema.
            most: So many values are read; a number above it means that there are more.
        """
        whole: dict[str, Any] = {"allOf": [schema]}
        waiting: list[object] = [schema]
        count = 0
        while waiting and count <= most:
            value = waiting.pop()
            count += 1
            if isinstance(value, list):
                waiting.extend(value)
            elif isinstance(value, dict):
                waiting.extend(value.values())
                found = self._part(value.get("$ref"), whole)
                if found is not None:
                    waiting.append(found)
        return whole, count

    def _part(self, reference: object, whole: dict[str, Any]) -> object:
        """Put the part that a reference is inside into ``whole``, and return it; None if it is there already."""
        if not isinstance(reference, str) or not reference.startswith("#/") or len(reference) > 1000:
            return None
        names = [part.replace("~1", "/").replace("~0", "~") for part in unquote(reference[2:]).split("/")]
        # A component (``components/schemas/Item``), or a path's item (``paths/~1items``), with all that is in it.
        names = names[: 3 if names[0] == "components" else 2]
        source, target = self.document, whole
        for name in names[:-1]:
            source = _mapping(source.get(name))
            target = target.setdefault(name, {})
        if names[0] not in ("components", "paths") or names[-1] not in source or names[-1] in target:
            return None
        target[names[-1]] = source[names[-1]]
        return target[names[-1]]

    def operations(self) -> Iterator[Operation]:
        """Yield the operations, without their places."""
        for path, item in _mapping(self.document.get("paths")).items():
            if not path.startswith("/"):
                continue
            shared = self.follow(item)
            for method in METHODS:
                described = _mapping(shared.get(method))
                if described:
                    yield self._operation(method.upper(), path, shared, described)

    def _operation(self, method: str, path: str, shared: Mapping[str, Any], described: Mapping[str, Any]) -> Operation:
        found: dict[tuple[str, str], Parameter] = {}
        for one in [*_list(shared.get("parameters")), *_list(described.get("parameters"))][:_MOST_PARAMETERS]:
            said = self.follow(one)
            name, where = said.get("name"), said.get("in")
            if isinstance(name, str) and where in ("path", "query", "header", "cookie"):
                schema = self.follow(said.get("schema"))
                found[where, name] = Parameter(name, where, bool(said.get("required")), schema)
        body = self.follow(described.get("requestBody"))
        kind, schema = self._content(body)
        return Operation(
            -1, method, path, tuple(found.values()), schema if kind else None, kind, bool(body.get("required")),
            self._responses(described), is_documented=True,
        )  # fmt: skip

    def _content(self, body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        content = _mapping(body.get("content"))
        for media, kind in (
            ("application/json", "json"),
            ("application/x-www-form-urlencoded", "form"),
            ("multipart/form-data", "multipart"),
        ):
            if media in content:
                return kind, self.follow(_mapping(content[media]).get("schema"))
        return "", {}

    def _responses(self, described: Mapping[str, Any]) -> dict[str, Mapping[str, Any] | None]:
        found: dict[str, Mapping[str, Any] | None] = {}
        for status, said in list(_mapping(described.get("responses")).items())[:_MOST_PARAMETERS]:
            content = _mapping(self.follow(said).get("content"))
            schema = _mapping(content.get("application/json")).get("schema")
            found[str(status)] = schema if isinstance(schema, dict) else None
        return found


def schema_of(skeleton: object, depth: int = 0) -> dict[str, Any]:
    """Return the schema of a skeleton such as ``{"name": "string"}``; empty if it shows nothing."""
    if isinstance(skeleton, str) and skeleton in _WORDS:
        return {"type": skeleton}
    if depth > _MOST_DEPTH:
        return {}
    if isinstance(skeleton, dict):
        fields = list(skeleton.items())[:_MOST_FIELDS]
        return {"type": "object", "properties": {str(name): schema_of(one, depth + 1) for name, one in fields}}
    if isinstance(skeleton, list):
        return {"type": "array", "items": schema_of(skeleton[0], depth + 1) if skeleton else {}}
    return {}


def from_endpoint(said: Mapping[str, Any]) -> Operation:
    """Return the operation of an endpoint that the service has found."""
    path = str(said["path"])
    types, query = _mapping(said.get("path_parameters")), _mapping(said.get("query"))
    parameters = [Parameter(name, "path", True, schema_of(types.get(name))) for name in _PARAMETER.findall(path)]
    parameters += [Parameter(str(name), "query", False, schema_of(kind)) for name, kind in query.items()]
    body = schema_of(said.get("body"))
    has_body = said["method"] in ("POST", "PUT", "PATCH")
    return Operation(
        -1, str(said["method"]), path, tuple(parameters[:_MOST_PARAMETERS]), body or None, "json" if has_body else ""
    )  # fmt: skip


def all_operations(
    document: Document | None, endpoints: Sequence[Mapping[str, Any]], only: Sequence[str]
) -> list[Operation]:
    """Return the document's operations, and those that only the service has found.

    Args:
        document: The OpenAPI document, if the application has one.
        endpoints: What the service has found.
        only: Methods with paths, ``GET /items``, or paths; empty for all.
    """
    found: dict[tuple[str, str], Operation] = {}
    for one in document.operations() if document else ():
        found.setdefault((one.method, plain_path(one.path)), one)
    for said in endpoints:
        for method in ("GET", "POST") if said["method"] == "*" else (said["method"],):
            operation = from_endpoint({**said, "method": method})
            if operation.method.lower() in METHODS:
                found.setdefault((operation.method, plain_path(operation.path)), operation)
    wanted = {one.strip() for one in only}
    kept = [
        one for one in found.values() if not wanted or one.path in wanted or f"{one.method} {one.path}" in wanted
    ][:MOST_OPERATIONS]  # fmt: skip
    for index, one in enumerate(kept):
        one.index = index
    return kept
