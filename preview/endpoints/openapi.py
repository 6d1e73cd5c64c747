"""Endpoints from the OpenAPI 3.x document of a running preview. No part of the document is trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Final

from preview.endpoints.model import Body, Credential, Endpoint, Origin, Parameter
from preview.endpoints.samples import Sampler, is_small, type_of

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
_LOCATIONS: Final = ("path", "query", "header", "cookie")
# Characters of a sample as JSON; a longer one helps nobody.
_MAX_SAMPLE: Final = 16_000
_MAX_BODIES: Final = 10
# Samples of the largest real documents have some 20,000 parts; later endpoints have none.
_MAX_SAMPLED: Final = 30_000
_JSON_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})


def endpoints_from_openapi(document: Mapping[str, object]) -> list[Endpoint]:
    """Return the endpoints of a document, in its order. Malformed parts are left out; nothing raises."""
    reader = _Reader(document)
    found: list[Endpoint] = []
    for path, item in _mapping(document.get("paths")).items():
        if not isinstance(path, str) or not path.startswith("/"):
            continue
        shared = _mapping(reader.follow(item))
        # In the document's order, which is that of the source.
        for method in [key for key in islice(shared, _MAX_ITEMS) if key in _METHODS]:
            operation = _mapping(shared.get(method))
            if operation:
                found.append(reader.endpoint(str(method), path, operation, shared))
            if len(found) >= _MAX_ENDPOINTS:
                return found
    return found


class _Reader:
    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self._parts = 0
        self._parts_in_all = 0
        self._text_in_all = 0
        self._sampled = 0

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
        parameters = [*_list(shared.get("parameters")), *_list(operation.get("parameters"))]
        return Endpoint(
            method=method.upper(),
            path=path,
            summary=self._text(operation.get("summary")) or self._text(shared.get("summary")),
            description=self._text(operation.get("description")) or self._text(shared.get("description")),
            tags=tuple(tag for tag in map(self._text, _list(operation.get("tags"))[:_MAX_ITEMS]) if tag),
            query=self._query(parameters),
            request_body=self._content(operation.get("requestBody")),
            response_schema=self._response(operation),
            source=Origin.OPENAPI,
            parameters=self._parameters(parameters),
            bodies=self._bodies(operation.get("requestBody")),
            credentials=self._credentials(operation),
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

    def _parameters(self, given: list[object]) -> tuple[Parameter, ...]:
        """Return the parameters with their details; an operation's own replaces one of its path."""
        found: dict[tuple[str, str], Parameter] = {}
        for item in given[:_MAX_ITEMS]:
            parameter = _mapping(self.follow(item))
            name, location = self._text(parameter.get("name")), str(parameter.get("in"))
            if not name or location not in _LOCATIONS or self._parts_in_all > _MAX_PARTS_IN_ALL:
                continue
            given_schema = _mapping(parameter.get("schema"))
            # Keywords beside a reference count too: FastAPI writes the default of a shared model there.
            beside = {key: value for key, value in given_schema.items() if key != "$ref"}
            schema = {**_mapping(self.follow(given_schema)), **beside}
            # The parameter's own example comes before those of its schema.
            own: dict[object, object] = {"example": parameter["example"]} if "example" in parameter else {}
            found[name, location] = Parameter(
                name,
                location,
                _json_type(self.skeleton(schema, 0)),
                parameter.get("required") is True,
                self._scalar(schema.get("default")),
                tuple(one for one in map(self._scalar, self._choices(schema)) if one is not None),
                self._scalar(self._sample({**schema, **own})),
                self._text(parameter.get("description")),
            )
        return tuple(found.values())

    def _choices(self, schema: Mapping[object, object], depth: int = 0) -> list[object]:
        if enum := _list(schema.get("enum")):
            return enum[:_MAX_ITEMS]
        for key in ("anyOf", "oneOf", "allOf"):
            for option in _list(schema.get(key))[:10] if depth < 3 else []:
                if found := self._choices(_mapping(self.follow(option)), depth + 1):
                    return found
        return ["true", "false"] if type_of(schema) == "boolean" else []

    def _scalar(self, value: object) -> object:
        """Return a short text, number or boolean as it is; None for anything else."""
        if isinstance(value, str):
            return self._text(value) if len(value) <= _MAX_REFERENCE else None
        return value if isinstance(value, int | float) and is_small(value) else None

    def _sample(self, schema: object) -> object:
        if self._sampled > _MAX_SAMPLED or self._text_in_all > _MAX_TEXT_IN_ALL:
            return None
        sampler = Sampler(self.follow)
        sample = sampler.sample(schema)
        text = json.dumps(sample)
        self._sampled += sampler.parts + len(text) // 100
        self._text_in_all += len(text)
        return sample if len(text) <= _MAX_SAMPLE else None

    def _bodies(self, value: object) -> tuple[Body, ...]:
        body = _mapping(self.follow(value))
        found: list[Body] = []
        for kind, given in islice(_mapping(body.get("content")).items(), _MAX_BODIES):
            content = _mapping(given)
            schema = _mapping(self.follow(content.get("schema")))
            examples = _mapping(content.get("examples"))
            named = _mapping(self.follow(next(iter(examples.values()), None))).get("value", content.get("example"))
            sample = named if named is not None and is_small(named) else self._sample(schema) if schema else None
            if named is not None and sample is named:
                self._text_in_all += len(json.dumps(named))
            if shown := self._text(kind)[:200]:
                found.append(Body(shown, sample, self._files(schema), body.get("required") is True))
        return tuple(found)

    def _files(self, schema: Mapping[object, object]) -> tuple[str, ...]:
        """Return the names of a form's fields that are files."""
        found: list[str] = []
        for name, given in islice(_mapping(schema.get("properties")).items(), _MAX_ITEMS):
            part = _mapping(self.follow(given))
            for one in [part, *_list(part.get("anyOf"))[:10]]:
                inner = _mapping(one)
                last = _mapping(self.follow(inner.get("items"))) if inner.get("type") == "array" else inner
                if last.get("format") == "binary" or "contentMediaType" in last:
                    found.append(self._text(str(name)))
                    break
        return tuple(name for name in found if name)

    def _credentials(self, operation: Mapping[object, object]) -> tuple[Credential, ...]:
        """Return the schemes that apply to an operation."""
        schemes = _mapping(_mapping(self._document.get("components")).get("securitySchemes"))
        wanted = _list(operation.get("security", self._document.get("security")))
        names = [name for one in wanted[:_MAX_BODIES] for name in islice(_mapping(one), _MAX_BODIES)]
        found: dict[str, Credential] = {}
        for name in dict.fromkeys(names):
            scheme = _mapping(self.follow(schemes.get(name)))
            kind, detail = scheme.get("type"), str(scheme.get("scheme")).lower()
            shown, key = self._text(name)[:200], self._text(scheme.get("name"))[:200]
            if kind == "apiKey" and scheme.get("in") in ("header", "query", "cookie") and key:
                found[shown] = Credential(shown, "key", str(scheme["in"]), key)
            elif kind == "http" and detail in ("bearer", "basic"):
                found[shown] = Credential(shown, detail)
            elif kind in ("oauth2", "openIdConnect"):
                found[shown] = Credential(shown, "bearer")
            elif scheme:
                found[shown] = Credential(shown, "other")
        return tuple(found.values())

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
