"""Sample bodies that the schema of a stranger accepts."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from preview.endpoints.patterns import text_for_pattern
from preview.endpoints.samples import Sampler, is_small


def sample(schema: object) -> Any:
    return Sampler(lambda value: value).sample(schema)


def numbers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    def bounded(low: int, width: int, step: int | None, *, is_open: bool) -> dict[str, Any]:
        keys = ("exclusiveMinimum", "exclusiveMaximum") if is_open else ("minimum", "maximum")
        found: dict[str, Any] = {"type": kind, keys[0]: low, keys[1]: low + width}
        return found if step is None else found | {"multipleOf": step}

    return st.builds(
        bounded,
        st.integers(-100, 100),
        st.integers(20, 60),
        st.none() | st.integers(1, 9),
        is_open=st.booleans(),
    )


def strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 30),
        st.integers(0, 9),
    )
    forms = st.sampled_from(["email", "uuid", "date", "date-time", "uri", "ipv4", "ipv6"]).map(
        lambda form: {"type": "string", "format": form}
    )
    patterns = st.sampled_from(
        [r"^[A-Z]{3}-\d{2,4}$", r"^\+?\d+$", r"^(red|blue)$", r"[a-z]+@x\.org", r"^#[0-9a-f]{6}$"]
    )
    return lengths | forms | patterns.map(lambda one: {"type": "string", "pattern": one})


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def built(parts: dict[str, Any], count: int) -> dict[str, Any]:
        return {"type": "object", "properties": parts, "required": [*parts][:count], "additionalProperties": False}

    shapes = st.builds(built, st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4), st.integers(0, 4))
    lists = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": least + 2},
        inner,
        st.integers(0, 3),
    )
    options = st.lists(inner, min_size=1, max_size=3).map(lambda found: {"anyOf": [{"type": "null"}, *found]})
    return shapes | lists | options


_LEAVES = (
    numbers("integer")
    | numbers("number")
    | strings()
    | st.sampled_from([{"type": "boolean"}, {"enum": ["s", "m", "l"]}, {"const": 7}, {"type": ["string", "null"]}])
    | st.just({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True})
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(_LEAVES, objects, max_leaves=12))
def test_samples_of_generated_schemas_are_valid(schema: dict[str, Any]) -> None:
    value = sample(schema)
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(value)]
    assert not errors, (schema, value)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 0.5}, 0.25),
        ({"type": "integer", "maximum": -5}, -5),
        ({"type": "string", "examples": ["Emma"]}, "Emma"),
        ({"type": "integer", "examples": ["no number"], "default": 10}, 10),
        ({"type": "string", "minLength": 8}, "stringaa"),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"enum": ["x"]}}}]}, {"a": 1, "b": "x"}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"key1": 1}),
        ({"type": "string", "pattern": "^(?=a)"}, ""),
        (True, {}),
        ("nonsense", {}),
        ({"type": 7, "properties": 3, "required": "x"}, {}),
    ],
)  # fmt: skip
def test_a_sample_follows_the_keywords(schema: object, expected: object) -> None:
    assert sample(schema) == expected


def test_a_discriminator_is_filled_in() -> None:
    models = {"#/Cat": {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}}
    schema = {
        "oneOf": [{"$ref": "#/Cat"}],
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/Cat"}},
    }
    follow = lambda value: models.get(str(value.get("$ref")), value) if isinstance(value, dict) else value  # noqa: E731
    assert Sampler(follow).sample(schema) == {"kind": "cat"}


def test_schemas_without_end_cost_little() -> None:
    model: dict[str, Any] = {"type": "object", "properties": {}, "required": ["a", "b", "c"]}
    model["properties"] = {name: {"$ref": "#"} for name in "abc"}
    model["allOf"] = [{"$ref": "#"}, {"$ref": "#"}]
    follow = lambda value: model if isinstance(value, dict) and "$ref" in value else value  # noqa: E731
    sampler, began = Sampler(follow), time.process_time()
    assert is_small(sampler.sample({"$ref": "#"})) in {True, False}
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "integer", "minimum": 10**4000},
        {"type": "number", "minimum": float("inf"), "multipleOf": 5e-324},
        {"type": "string", "pattern": "(a{9999}){9999}"},
        {"type": "string", "pattern": "(" * 200},
        {"oneOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"examples": ["x" * 10**6], "type": "string"},
    ],
)
def test_huge_demands_have_a_bound(schema: object) -> None:
    follow = lambda value: schema if isinstance(value, dict) and "$ref" in value else value  # noqa: E731
    assert len(repr(Sampler(follow).sample(schema))) < 10_000


@pytest.mark.parametrize("pattern", [r"^\d{3}-\d{4}$", "^[a-z][a-z0-9-]{2,}$", "^(a|b)+c?$", r"^\$x$", r"\w+@\w+\.com"])
def test_text_for_a_pattern_matches(pattern: str) -> None:
    text = text_for_pattern(pattern, 0, None)
    assert text is not None
    assert re.search(pattern, text)
