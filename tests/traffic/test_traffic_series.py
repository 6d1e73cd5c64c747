"""Measurements of a preview: bounded for any traffic, and right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.settings import Settings
from preview.traffic import Draft, Origin, PreviewSeries, Who, findings
from preview.traffic.measurements import endpoint_name as naming
from preview.traffic.measurements.endpoint_name import endpoint_name, is_id
from preview.traffic.measurements.keeping import decode, encode
from preview.traffic.measurements.series import MAX_ENDPOINTS, MAX_POINTS, OTHERS, Durations


def draft(target: bytes = b"/", *, seconds: float = 0.01, status: int = 200, origin: Origin = Origin.CALL) -> Draft:
    return Draft(b"id", origin, Who.OWNER, "GET", target, status, None, 0, 0.0, 0.0, 0.0, seconds, 0, 0, 0, 1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stranger_cannot_make_the_series_grow() -> None:
    clock = Clock()
    series = PreviewSeries(clock)
    for number in range(2_000):
        clock.now = number * 1e6
        series.count_request(1, draft(b"/" + bytes(97 + int(one) for one in str(number)), seconds=1e9))
        series.measure(number, 1.0)
    assert len(series.points) <= MAX_POINTS
    assert len(series.endpoints) == MAX_ENDPOINTS + 1
    assert series.endpoints[OTHERS].durations.count > 1_000
    assert sum(point.requests for point in series.points.values()) == 2_000


@given(st.lists(st.floats(0, 1e6), max_size=60), st.integers(0, 9))
def test_no_request_is_lost_when_points_are_merged(moments: list[float], errors: int) -> None:
    clock = Clock()
    series = PreviewSeries(clock)
    for moment in sorted(moments):
        clock.now = moment
        series.count_request(1, draft(status=500 if errors else 200))
        errors = max(0, errors - 1)
    assert sum(point.requests for point in series.points.values()) == len(moments)
    assert all(0 <= at < MAX_POINTS for at in series.points)


@given(st.lists(st.floats(0.0011, 100), min_size=1))
def test_percentiles_are_near_the_true_ones(seconds: list[float]) -> None:
    durations = Durations()
    for one in seconds:
        durations.add(one)
    true = sorted(seconds)[max(0, -(-len(seconds) * 95 // 100) - 1)]
    found = durations.percentile_s(0.95)
    assert found is not None
    assert true * 0.999 <= found <= true * 1.27


def test_ids_in_paths_are_one_endpoint_and_checks_are_left_out() -> None:
    assert endpoint_name("GET", b"/books/17/pages?x=1") == "GET /books/{id}/pages"
    assert endpoint_name("GET", b"/u/3fa85f64-5717-4562-b3fc-2c963f66afa6") == "GET /u/{id}"
    assert endpoint_name("GET", b"/v1/books") == "GET /v1/books"
    series = PreviewSeries(Clock())
    series.count_request(1, draft(origin=Origin.CHECK))
    assert not series.points


def test_bottlenecks_are_named_with_numbers() -> None:
    series = PreviewSeries(Clock())
    assert findings(series, memory_limit_bytes=100) == []
    for _ in range(9):
        series.count_request(1, draft(b"/often"))
    series.count_request(1, draft(b"/slow", seconds=2.0, status=500))
    series.measure(90 * 2**20, 10.0)
    memory, failed, slow, often = findings(series, memory_limit_bytes=100 * 2**20)
    assert memory == "Memory was at 90 % of its limit of 100 MB."
    assert failed == "1 of 10 requests failed (10.0 %), most at GET /slow (1)."
    assert slow.startswith("Slowest: GET /slow, half within 2000 ms")
    assert often == "Most called: GET /often, 9 of 10 requests."


def test_a_long_method_is_not_kept_with_the_names_of_endpoints() -> None:
    naming._name_of.cache_clear()
    for number in range(100):
        naming.endpoint_name("A" * 10 + str(number) * 10_000, b"/")
    assert naming._name_of.cache_info().currsize == 1


class Live:
    id = "preview_1"

    def __init__(self, series: PreviewSeries) -> None:
        self.series = series
        self.settings = Settings(memory_limit_mb=64)


@given(st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 599), st.floats(0, 100)), max_size=40))
def test_stored_measurements_are_read_as_they_were(requests: list[tuple[float, int, float]]) -> None:
    clock = Clock()
    series = PreviewSeries(clock)
    for moment, status, seconds in sorted(requests):
        clock.now = moment
        series.count(f"GET /{status}", status, seconds)
        series.measure(status, seconds)
    kept = decode(encode(Live(series)))
    assert (kept.memory_limit_mb, kept.series.interval_s) == (64, series.interval_s)
    assert encode(Live(kept.series)) == encode(Live(series))


def test_the_largest_series_is_stored_small() -> None:
    clock = Clock()
    series = PreviewSeries(clock)
    for number in range(20_000):
        clock.now = number
        name = endpoint_name("GET", b"/" + bytes(97 + int(one) for one in str(number % 300)) + b"x" * 150)
        series.count(name if len(series.endpoints) < MAX_ENDPOINTS else OTHERS, 200, 1.1 ** (number % 60) / 100)
        series.measure(2**33 + number, 100 / (number + 1))
    assert len(encode(Live(series))) < 200_000


@pytest.mark.parametrize(
    ("segment", "is_one"),
    [
        ("7", True), ("00042", True), ("3fa85f64-5717-4562-b3fc-2c963f66afa6", True),
        ("64b7f1a2c9e77b0012ab34cd", True),
        ("gen_2f7kq8wz3m4n5p6r", True), ("ord_12345", True), ("V1StGXR8_Z5jdHi6B-myT", True), ("a1b2c3d4", True),
        ("2026-11-26", True), ("oauth2callback", False), ("utf8-check", False), ("v1", False), ("books", False),
        ("deadbeef", False), ("²³", False), ("getUserProfile2", False), ("", False), ("report-2026.pdf", False),
    ],
)  # fmt: skip
def test_one_rule_says_which_segments_are_ids(segment: str, is_one: bool) -> None:
    assert is_id(segment) is is_one
