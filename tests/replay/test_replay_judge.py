"""Verdicts on answers: noise is left out, and the rest is reported alone."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preview.errors import InvalidRequest
from preview.replay.comparing import Answer, IgnoreRules, Verdict, judge
from preview.replay.comparing.shapes import Shape, shape_of, template_of

NOW = 1_790_000_000.0
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def answer(value: Any, *, status: int = 200, at_s: float = NOW, **headers: str) -> Answer:
    fields: tuple[tuple[str, str], ...] = (("content-type", "application/json"), ("Date", str(at_s)))
    fields += tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Answer(status, fields, json.dumps(value).encode(), 3.0, at_s)


def moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


class Shop:
    """Answers of a backend with volatile fields: an endpoint's content is the same, ids, times and tokens are not."""

    def __init__(self, seed: int, at_s: float) -> None:
        self.random = random.Random(seed)
        self.at_s = at_s

    def id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def token(self) -> str:
        return (
            "".join(self.random.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", k=43))
            + "aB3"
        )

    def get(self, endpoint: int) -> Any:
        items = [
            {"id": self.id(), "sku": f"sku-{endpoint}-{at}", "price": 10 * endpoint + at, "seen_at": moment(self.at_s)}
            for at in range(3)
        ]
        return {
            "request": self.id(),
            "generated_at": moment(self.at_s),
            "epoch": int(self.at_s),
            "took_ms": self.random.choice([1, 1, 2]),
            "session": {"token": self.token(), "user": "ann"},
            "items": items,
            "count": len(items),
            "message": f"order {self.id()} of {endpoint} was placed",
        }


def runs(endpoint: int) -> tuple[Any, Any, Any]:
    """The same endpoint in three processes, at three times; two of them within a second."""
    return tuple(Shop(100 * endpoint + run, NOW + run * 0.4).get(endpoint) for run in range(3))


def verdict_of(values: tuple[Any, Any, Any], **more: Any) -> Any:
    first, second, third = values
    return judge(answer(first), answer(second, at_s=NOW + 0.4), answer(third, at_s=NOW + 0.8), **more)


def test_nothing_is_reported_for_fifty_identical_pairs() -> None:
    found = [verdict_of(runs(endpoint)) for endpoint in range(50)]
    assert [list(one.differences) for one in found] == [[]] * 50
    assert {one.verdict for one in found} == {Verdict.NOISY}
    stable = [judge(answer(endpoint), answer(endpoint), answer(endpoint)) for endpoint in range(50)]
    assert {one.verdict for one in stable} == {Verdict.SAME}


def change_price(value: Any) -> None:
    value["items"][1]["price"] += 1


def drop_field(value: Any) -> None:
    del value["session"]["user"]


def lose_id(value: Any) -> None:
    value["items"][0]["id"] = None


def change_word(value: Any) -> None:
    value["message"] = value["message"].replace("placed", "lost")


def lose_item(value: Any) -> None:
    value["items"].pop()


MUTATIONS = [
    (change_price, ["$.items[1].price"]),
    (drop_field, ["$.session.user"]),
    (lose_id, ["$.items[0].id"]),
    (change_word, ["$.message"]),
    (lose_item, ["$.items[2]"]),
]


@pytest.mark.parametrize(("mutate", "paths"), MUTATIONS)
def test_a_seeded_mutation_is_reported_alone(mutate: Any, paths: list[str]) -> None:
    for endpoint in range(20):
        values = runs(endpoint)
        mutate(values[2])
        found = verdict_of(values)
        assert found.verdict is Verdict.CHANGED
        assert [one.path for one in found.differences] == paths


def test_statuses_fields_and_failures() -> None:
    one = answer({"a": 1})
    assert judge(one, one, answer({}, status=500)).verdict is Verdict.BROKE
    assert judge(one, one, answer({"a": 1}, status=404)).verdict is Verdict.BROKE
    assert judge(one, one, Answer(0, error="no answer")).verdict is Verdict.BROKE
    assert judge(answer({}, status=500), answer({}, status=500), one).verdict is Verdict.CHANGED
    created = judge(one, one, answer({"a": 1}, status=201))
    assert [(d.path, d.before, d.after) for d in created.differences] == [("status", 200, 201)]
    moved = judge(one, one, answer({"a": 1}, location="/b"))
    assert [(d.path, d.kind) for d in moved.differences] == [("header.location", "added")]
    assert judge(one, one, answer({"a": True})).verdict is Verdict.CHANGED
    first, second = (answer({}, set_cookie=f"sid={one}; Path=/; HttpOnly") for one in "ab")
    assert judge(first, first, second).verdict is Verdict.SAME
    assert judge(first, first, answer({}, set_cookie="sid=c; Path=/")).verdict is Verdict.CHANGED


def test_without_a_second_baseline_forms_of_ids_times_and_tokens_are_noise() -> None:
    recorded, _, now = runs(1)
    recorded["session"]["token"] = "[redacted:1a2b3c4d]"
    assert judge(answer(recorded), None, answer(now, at_s=NOW + 5000)).differences == []
    now["items"][0]["price"] = 0
    assert [one.path for one in judge(answer(recorded), None, answer(now)).differences] == ["$.items[0].price"]


def test_paths_are_ignored_by_rules() -> None:
    rules = IgnoreRules(["$.items[*].price", "GET /books $.session", "header.x-node"])
    values = runs(2)
    change_price(values[2])
    drop_field(values[2])
    found = verdict_of(values, is_ignored=lambda path: rules.covers("GET", "/books", path))
    assert (found.verdict, found.differences) == (Verdict.NOISY, [])
    assert found.ignored == ["$.items[*].price", "$.session.token", "$.session.user"]
    assert not rules.covers("GET", "/shelves", "$.session.user")
    assert not rules.covers("GET", "/books", "$.sessions")
    for text in ("", "price", "$.a b", "$" + "a" * 400):
        with pytest.raises(InvalidRequest):
            IgnoreRules([text])


@settings(max_examples=150)
@given(VALUES, VALUES)
def test_any_values_are_judged_and_equal_ones_are_the_same(one: Any, other: Any) -> None:
    assert judge(answer(one), answer(one), answer(one)).verdict is Verdict.SAME
    found = judge(answer(one), answer(one), answer(other))
    assert (found.verdict is Verdict.SAME) or found.differences or found.noise


def test_hostile_content_takes_little_time() -> None:
    deep = Answer(200, (("content-type", "application/json"),), b"[" * 500_000)
    wide = answer({f"k{at}": "eyJ" * 300 for at in range(1000)})
    other = answer({f"k{at}": "eyJ" * 299 + "x" for at in range(1000)})
    numbers = Answer(200, (("content-type", "application/json"),), b"1" * 1_000_000)
    began = time.process_time()
    for first, second in ((deep, wide), (wide, other), (numbers, deep), (numbers, numbers)):
        judge(first, None, second)
    assert time.process_time() - began < 5


def test_wide_and_deep_content_takes_little_memory() -> None:
    def nested(leaf: int) -> Any:
        value: Any = [leaf] * 4000
        for at in range(200):
            value = {"k" * 64: value, f"z{at}": list(range(100))}
        return value

    tracemalloc.start()
    found = judge(answer(nested(1)), None, answer(nested(2)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.verdict is Verdict.CHANGED
    assert max(len(one.path) for one in found.differences) <= 300
    assert most < 20_000_000


def test_a_report_has_at_most_fifty_patterns() -> None:
    first, second = ({f"k{at}": str(uuid.UUID(int=at + run)) for at in range(150)} for run in (0, 500))
    found = judge(answer(first), answer(second), answer(second))
    assert (len(found.noise), found.is_cut, found.verdict) == (50, True, Verdict.NOISY)


@pytest.mark.parametrize("value", [10**400, -(10**400), "\u00b2", "1.\u00b2", float("inf")])
def test_odd_numbers_are_judged(value: Any) -> None:
    assert judge(answer({"n": 1}), None, answer({"n": value})).verdict is Verdict.CHANGED
    assert judge(answer({"n": value}), None, answer({"n": 1})).verdict is Verdict.CHANGED


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("2026-11-25T19:44:58Z", Shape.TIME),
        ("2026-11-25 19:44:58.123+01:00", Shape.TIME),
        ("Wed, 25 Nov 2026 19:44:58 GMT", Shape.TIME),
        ("6f1ed002-ab5c-4c7e-9b1a-000000000000", Shape.ID),
        ("507f1f77bcf86cd799439011", Shape.ID),
        ("eyJhbGciOi.eyJzdWIi.sig", Shape.TOKEN),
        ("V1StGXR8_Z5jdHi6B-myT", Shape.TOKEN),
        ("internationalization", Shape.TEXT),
        ("New York", Shape.TEXT),
        ("", Shape.EMPTY),
        (None, Shape.NULL),
        (1.5, Shape.NUMBER),
        (False, Shape.BOOLEAN),
    ],
)
def test_forms_of_values(value: Any, shape: Shape) -> None:
    assert shape_of(value) is shape


def test_templates_keep_the_words() -> None:
    assert template_of("order 17 of 2026-11-25T19:44:58Z") == template_of("order 3 of 2026-01-01T00:00:00Z")
    assert template_of("order 17 placed") != template_of("order 17 lost")
