"""Endpoints from the OpenAPI 3.x document of a running preview. No part of the document is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final

from preview.endpoints.model import Endpoint, Origin

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_MAX_ENDPOINTS: Final = 5_000
# Depth limit for nested schemas; a document may refer to itself without end.
_MAX_DEPTH: Final = 8
_MAX_REFS: Final = 20
# Many fields that refer to large models multiply a skeleton. After this many parts, "object" replaces the rest.
_MAX_PARTS: Final = 2_000
# Limit on the total output: each endpoint of a short document may refer to the same large part.
# The largest real documents (1,000 routes) stay below the limit.
_MAX_PARTS_IN_ALL: Final = 200_000
_MAX_TEXT_IN_ALL: Final = 4 * 1024 * 1024
_MAX_REFERENCE: Final = 1_000
# Limit per operation; further items are ignored.
_MAX_ITEMS: Final = 200
_JSON_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


def endpoints_from_openapi(document: Mapping[str, object]) -> list[Endpoint]:
    """Return the endpoints of a document, in its order. Malformed parts are left out; nothing raises."""
    reader = _Reader(document)
    found: list[Endpoint] = []
    for path, item in _mapping(document.get("paths")).items():
        if not isinstance(path, str) or not path.startswith("/"):
            continue
        shared = _mapping(reader.follow(item))
        for method in _METHODS:
            operation = _mapping(shared.get(method))
            if operation:
                found.append(reader.endpoint(method, path, operation, shared))
            if len(found) >= _MAX_ENDPOINTS:
                return found
    return found


class _Reader:
    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self._parts = 0
        self._parts_in_all = 0
        self._text_in_all = 0

    @property
    def _is_spent(self) -> bool:
        return self._parts > _MAX_PARTS or self._parts_in_all > _MAX_PARTS_IN_ALL

    def _text(self, value: object) -> str:
        """Return the text; empty if the value is not text, or if the total is too long."""
        if not isinstance(value, str) or self._text_in_all + len(value) > _MAX_TEXT_IN_ALL:
            return ""
        self._text_in_all += len(value)
        return value

    def endpoint(
        self, method: str, path: str, operation: Mapping[object, object], shared: Mapping[object, object]
    ) -> Endpoint:
        self._parts = 0
        return Endpoint(
            method=method.upper(),
            path=path,
            summary=self._text(operation.get("summary")) or self._text(shared.get("summary")),
            description=self._text(operation.get("description")) or self._text(shared.get("description")),
            tags=tuple(tag for tag in map(self._text, _list(operation.get("tags"))[:_MAX_ITEMS]) if tag),
            query=self._query([*_list(shared.get("parameters")), *_list(operation.get("parameters"))]),
            request_body=self._content(operation.get("requestBody")),
            response_schema=self._response(operation),
            source=Origin.OPENAPI,
        )

    def follow(self, value: object) -> object:
        """Resolve local references (``#/components/…``); return None for any other address."""
        for _ in range(_MAX_REFS):
            reference = value.get("$ref") if isinstance(value, Mapping) else None
            if not isinstance(reference, str):
                return value
            if len(reference) > _MAX_REFERENCE:
                return None
            value = self._lookup(reference)
        return None

    def _lookup(self, reference: str) -> object:
        if not reference.startswith("#/"):
            return None
        value: object = self._document
        for part in reference[2:].split("/"):
            value = _mapping(value).get(part.replace("~1", "/").replace("~0", "~"))
        return value

    def _query(self, parameters: list[object]) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in parameters[:_MAX_ITEMS]:
            parameter = _mapping(self.follow(item))
            name = self._text(parameter.get("name")) if parameter.get("in") == "query" else ""
            if name:
                skeleton = self.skeleton(parameter.get("schema"), 0)
                found[name] = _json_type(skeleton)
        return found

    def _content(self, value: object) -> object:
        content = _mapping(_mapping(self.follow(value)).get("content"))
        preferred = content.get("application/json", next(iter(content.values()), None))
        return self.skeleton(_mapping(preferred).get("schema"), 0)

    def _response(self, operation: Mapping[object, object]) -> object:
        responses = _mapping(operation.get("responses"))
        good = sorted(str(code) for code in islice(responses, _MAX_ITEMS) if str(code).startswith("2"))
        found = self._content(responses.get(good[0])) if good else None
        return None if found == {} else found

    def skeleton(self, value: object, depth: int) -> object:
        """Return a schema as ``{"name": "string"}``; None if it has no content."""
        if self._is_spent:
            return "object"
        schema = _mapping(self.follow(value))
        self._parts += 1
        self._parts_in_all += 1
        if not schema:
            return None
        if depth > _MAX_DEPTH:
            return "object"
        for key in ("anyOf", "oneOf"):
            options = (self.skeleton(option, depth + 1) for option in _list(schema.get(key))[:_MAX_ITEMS])
            if chosen := next((option for option in options if option not in (None, "null")), None):
                return chosen
        merged: dict[str, object] = {}
        for part in _list(schema.get("allOf"))[:_MAX_ITEMS]:
            described = self.skeleton(part, depth + 1)
            if not isinstance(described, dict):
                return described
            merged |= described
        for name, part in _mapping(schema.get("properties")).items():
            if self._is_spent:
                break
            if shown := self._text(str(name)):
                described = self.skeleton(part, depth + 1)
                # A list of any items becomes [], an object of any fields becomes "object".
                merged[shown] = "object" if described in (None, {}) else described
        return merged or self._plain(schema, depth)

    def _plain(self, schema: Mapping[object, object], depth: int) -> object:
        kind = schema.get("type")
        kinds = [item for item in (kind if isinstance(kind, list) else [kind]) if item != "null"]
        kind = kinds[0] if kinds else "null"
        if kind == "array":
            item = self.skeleton(schema.get("items"), depth + 1)
            return [] if item is None else [item]
        if kind == "object":
            return {}
        if kind == "string" and schema.get("format") == "binary":
            return "file"
        if isinstance(kind, str) and kind in _JSON_TYPES:
            return kind
        return "string" if "enum" in schema else None


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _json_type(skeleton: object) -> str:
    if isinstance(skeleton, list):
        return "array"
    if isinstance(skeleton, Mapping):
        return "object"
    return skeleton if isinstance(skeleton, str) else "string"
