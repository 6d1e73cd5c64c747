from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.endpoints import Endpoint, Origin, endpoints_from_openapi, find_health_path
from preview.endpoints.merging import merge_endpoints


def document(operation: Mapping[str, object], schemas: Mapping[str, object] | None = None) -> dict[str, object]:
    return {"openapi": "3.1.0", "paths": {"/x": {"post": operation}}, "components": {"schemas": schemas or {}}}


def body(schema: object, schemas: dict[str, object] | None = None) -> object:
    operation = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    (endpoint,) = endpoints_from_openapi(document(operation, schemas))
    return endpoint.request_body


def test_an_operation_becomes_an_endpoint() -> None:
    operation: dict[str, object] = {
        "summary": "Make",
        "description": "Makes one.",
        "tags": ["x", 3],
        "parameters": [
            {"name": "page", "in": "query", "schema": {"type": "integer"}},
            {"name": "q", "in": "query", "schema": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            {"name": "ids", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
            {"name": "f", "in": "query", "schema": {"type": "object"}},
            {"name": "id", "in": "path", "schema": {"type": "integer"}},
        ],
        "responses": {
            "422": {},
            "201": {"content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}}},
        },
    }
    (endpoint,) = endpoints_from_openapi(document(operation))
    assert replace(endpoint, parameters=(), bodies=()) == Endpoint(
        method="POST",
        path="/x",
        summary="Make",
        description="Makes one.",
        tags=("x",),
        query={"page": "integer", "q": "string", "ids": "array", "f": "object"},
        response_schema=["string"],
        source=Origin.OPENAPI,
    )


@pytest.mark.parametrize(
    ("schema", "skeleton"),
    [
        ({"$ref": "#/components/schemas/Owner"}, {"id": "integer"}),
        ({"$ref": "#/components/schemas/Node"}, "node"),
        ({"$ref": "https://elsewhere.example/x"}, None),
        ({"$ref": "#/components/schemas/Loop"}, None),
        ({"$ref": "#/nowhere/at/all"}, None),
        (
            {"allOf": [{"$ref": "#/components/schemas/Owner"}, {"properties": {"a": {}}}]},
            {"id": "integer", "a": "object"},
        ),
        ({"allOf": [{"type": "string"}]}, "string"),
        ({"oneOf": [{"type": "null"}, {"type": "number"}]}, "number"),
        ({"type": ["null", "boolean"]}, "boolean"),
        ({"type": "array"}, []),
        ({"type": "object"}, {}),
        ({"type": "string", "format": "binary"}, "file"),
        ({"enum": [1]}, "string"),
        ({"title": "nothing"}, None),
        ({"type": {}}, None),
        ("nonsense", None),
    ],
)
def test_schemas_become_skeletons(schema: object, skeleton: object) -> None:
    schemas: dict[str, object] = {
        "Owner": {"type": "object", "properties": {"id": {"type": "integer"}}},
        "Node": {"properties": {"next": {"$ref": "#/components/schemas/Node"}}},
        "Loop": {"$ref": "#/components/schemas/Loop"},
    }
    found = body(schema, schemas)
    if skeleton == "node":
        assert isinstance(found, dict)
        assert str(found).count("next") < 20
    else:
        assert found == skeleton


def test_schemas_that_multiply_are_cut() -> None:
    schemas: dict[str, object] = {
        f"M{n}": {"properties": {f"f{m}": {"$ref": f"#/components/schemas/M{n + 1}"} for m in range(20)}}
        for n in range(8)
    }
    assert str(body({"$ref": "#/components/schemas/M0"}, schemas)).count("f1") < 5_000


def test_a_hundred_thousand_paths_are_cut() -> None:
    paths = {f"/x{number}": {"get": {"summary": "x"}} for number in range(6_000)}
    assert len(endpoints_from_openapi({"paths": paths})) == 5_000


_WORDS = [
    *("paths", "/x", "get", "post", "parameters", "$ref", "schema", "type", "properties", "items", "anyOf"),
    *("allOf", "requestBody", "content", "responses", "200", "tags", "name", "in", "summary"),
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(_WORDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(st.dictionaries(st.just("paths") | st.text(max_size=3), st.dictionaries(st.just("/x"), _JSON), max_size=3))
def test_any_document_is_survived(value: dict[str, object]) -> None:
    endpoints_from_openapi(value)


def test_the_live_list_wins_and_the_source_fills_in() -> None:
    static = [
        Endpoint(
            "GET", "/x/{id}", "Static", "From source", ("s",), {"q": "string"}, None, {"a": "string"}, "main.py", 3
        ),
        Endpoint("GET", "/gone", file="main.py"),
    ]
    live = [Endpoint("GET", "/x/{item_id}", "Live"), Endpoint("POST", "/new")]
    first, second = merge_endpoints(static, live)
    assert (first.path, first.summary, first.description) == ("/x/{item_id}", "Live", "From source")
    assert (first.file, first.line, first.query, first.tags) == ("main.py", 3, {"q": "string"}, ("s",))
    assert second == live[1]


def test_without_a_live_list_the_static_one_stands() -> None:
    static = [Endpoint("GET", "/x")]
    assert merge_endpoints(static, []) == static


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/", "/health"], "/health"),
        (["/api/v1/health", "/healthz"], "/healthz"),
        (["/status", "/api/health/"], "/api/health/"),
        (["/status"], "/status"),
        (["/health/{id}", "/orders/status/{id}"], None),
        ([], None),
    ],
)
def test_the_health_route_is_found(paths: list[str], expected: str | None) -> None:
    endpoints = [Endpoint("POST", "/health"), *(Endpoint("GET", path) for path in paths)]
    assert find_health_path(endpoints) == expected


def operations(count: int, operation: Mapping[str, object]) -> dict[str, object]:
    """A short document whose endpoints all refer to the same operation."""
    return {"paths": {f"/{number}": {"$ref": "#/shared"} for number in range(count)}, "shared": {"get": operation}}


@pytest.mark.parametrize(
    "operation",
    [
        {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/models/M"}}}}},
        {"description": "d" * 100_000, "summary": "s" * 100_000},
        {"tags": ["t" * 100] * 10_000},
        {"parameters": [{"in": "query", "name": f"{number}" * 20} for number in range(10_000)]},
        {"responses": {"200": {"content": {"application/json": {"schema": {"properties": {"n" * 100_000: {}}}}}}}},
    ],
)
def test_a_short_document_makes_no_long_answer(operation: dict[str, object]) -> None:
    model = {"properties": {f"p{number}": {"$ref": "#/models/M"} for number in range(50)}}
    found = endpoints_from_openapi({**operations(3_000, operation), "models": {"M": model}})
    assert len(found) == 3_000
    assert sum(len(repr(one)) for one in found) < 24 * 2**20


def test_all_of_a_large_document_is_written_down() -> None:
    model = {"properties": {f"field_{number}": {"type": "string"} for number in range(50)}}
    body = {"requestBody": {"content": {"application/json": {"schema": model}}}, "description": "word " * 100}
    found = endpoints_from_openapi(operations(1_000, body))
    assert {len(cast("dict[str, str]", one.request_body)) for one in found} == {50}
    assert {one.description for one in found} == {"word " * 100}


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ({"type": "array"}, []),
        ({"type": "array", "items": {}}, []),
        ({"type": "object", "properties": {"tags": {"type": "array"}, "any": {}, "more": {"type": "object"}}},
         {"tags": [], "any": "object", "more": "object"}),
        ({"type": "object"}, None),
    ],
)  # fmt: skip
def test_a_list_of_anything_is_shown_as_a_list(schema: object, shown: object) -> None:
    operation = {"responses": {"200": {"content": {"application/json": {"schema": schema}}}}}
    (endpoint,) = endpoints_from_openapi(document(operation))
    assert endpoint.response_schema == shown


def test_parameters_bodies_and_credentials_are_described() -> None:
    operation = {
        "parameters": [
            {"name": "size", "in": "query", "schema": {"enum": ["s", "m"], "default": "m"}},
            {"name": "X-Trace", "in": "header", "required": True, "schema": {"type": "string"}},
            {"name": "nowhere", "in": "body", "schema": {}},
        ],
        "requestBody": {
            "content": {
                "application/json": {"schema": {"type": "object", "properties": {"price": {"exclusiveMinimum": 0}}}},
                "multipart/form-data": {"schema": {"properties": {"file": {"type": "string", "format": "binary"}}}},
            }
        },
        "security": [{"Token": []}, {"Key": []}, {"Missing": []}],
    }
    schemes = {
        "Token": {"type": "oauth2", "flows": {}},
        "Key": {"type": "apiKey", "in": "query", "name": "key"},
    }
    (endpoint,) = endpoints_from_openapi(document(operation) | {"components": {"securitySchemes": schemes}})
    size, trace = endpoint.parameters
    assert (size.choices, size.default, trace.location, trace.required) == (("s", "m"), "m", "header", True)
    json_body, form = endpoint.bodies
    assert (json_body.sample, form.files) == ({"price": 1}, ("file",))
    assert [(one.kind, one.location, one.name) for one in endpoint.credentials] == [
        ("bearer", "", ""),
        ("key", "query", "key"),
    ]


def test_methods_stay_in_the_order_of_the_document() -> None:
    found = endpoints_from_openapi({"paths": {"/a": {"patch": {"summary": "p"}, "delete": {"summary": "d"}}}})
    assert [one.method for one in found] == ["PATCH", "DELETE"]


def test_samples_of_many_endpoints_have_a_bound_in_all() -> None:
    schema = {"type": "array", "minItems": 50, "items": {"type": "string", "minLength": 200}}
    body = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    found = endpoints_from_openapi(operations(3_000, body))
    assert sum(len(repr(one)) for one in found) < 24 * 2**20
