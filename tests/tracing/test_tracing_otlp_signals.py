"""Log records and metrics by OTLP/HTTP come from a stranger's process: hostile ones first, then what they become."""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from otlp_kit import GZIP, JSON, part, post, receiver

from preview.http.contracts.history.reported_metrics import ReportedMetrics
from preview.logs import Level
from preview.tracing import PreviewTraces
from preview.tracing.otlp import record_intake
from preview.tracing.otlp.given import NotOtlp
from preview.tracing.otlp.points import read_json_points, read_protobuf_points
from preview.tracing.otlp.record_intake import MOST_RECORDS_PER_S
from preview.tracing.otlp.records import GivenRecord, read_json_records, read_protobuf_records
from preview.tracing.otlp.wire import MOST_FIELDS, MOST_PART_FIELDS
from preview.tracing.preview_metrics import (
    MOST_BYTES,
    MOST_POINTS_PER_S,
    MOST_SERIES,
    MetricPoint,
    MetricSeries,
    PreviewMetrics,
)

PATHS = ("/v1/logs", "/v1/metrics")
Read = Callable[[bytes], Iterator[GivenRecord | None] | Iterator[MetricPoint | None]]
READERS: dict[str, Read] = {"/v1/logs": read_protobuf_records, "/v1/metrics": read_protobuf_points}
JSON_READERS: dict[str, Read] = {"/v1/logs": read_json_records, "/v1/metrics": read_json_points}
DAY_NS = 1_795_000_000_000_000_000


def outer(*inner: bytes) -> bytes:
    """A request with these records or metrics."""
    return part(1, part(2, b"".join(part(2, one) for one in inner)))


def record(body: bytes, **more: bytes) -> bytes:
    return part(5, body) + b"".join(more.values())


def text(value: str) -> bytes:
    return part(1, value)


def nested(depth: int) -> bytes:
    value = text("x")
    for _ in range(depth):
        value = part(5, part(1, value))
    return value


def gauge(value: float, name: str = "m", *attributes: tuple[str, str]) -> bytes:
    pairs = b"".join(part(7, part(1, key) + part(2, part(1, said))) for key, said in attributes)
    double = b"\x21" + struct.pack("<d", value)
    return part(1, name) + part(5, part(1, pairs + double))


def points(body: bytes) -> list[MetricSeries]:
    return kept(read_protobuf_points(body)).all()


def kept(read: Iterator[MetricPoint | None]) -> PreviewMetrics:
    metrics = PreviewMetrics()
    for one in read:
        if one is not None:
            metrics.take(one)
    return metrics


# Attackers


@pytest.mark.parametrize("path", PATHS)
@given(body=some.binary(max_size=400) | some.binary(max_size=60).map(outer))
def test_no_bytes_break_a_reader_of_protobuf(path: str, body: bytes) -> None:
    _exhaust(READERS[path](body))


KEYS = [
    "resourceLogs", "scopeLogs", "logRecords", "body", "attributes", "key", "value", "stringValue", "arrayValue",
    "values", "kvlistValue", "intValue", "doubleValue", "traceId", "severityNumber", "timeUnixNano", "gauge", "sum",
    "dataPoints", "asInt", "asDouble", "histogram", "count", "min", "isMonotonic", "aggregationTemporality", "name",
]  # fmt: skip
ANY_JSON = some.recursive(
    some.none() | some.text() | some.integers() | some.floats() | some.just(10**400),
    lambda inner: some.lists(inner) | some.dictionaries(some.sampled_from(KEYS), inner),
)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=15)
@given(value=ANY_JSON)
def test_no_json_breaks_a_reader(path: str, value: Any) -> None:
    one = {"body": value, "attributes": [{"key": "exception.type", "value": value}, value], "name": "m"}
    point = {"dataPoints": [{"asDouble": value, "asInt": value, "count": value, "attributes": [value]}, value]}
    for body in (
        value,
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [one, value]}]}]},
        {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{**one, "sum": point}, {"histogram": point}, value]}]}]},
    ):
        _exhaust(JSON_READERS[path](json.dumps(body).encode()))


def _exhaust(read: Iterator[GivenRecord | None] | Iterator[MetricPoint | None]) -> None:
    metrics = PreviewMetrics()
    try:
        for one in read:
            if isinstance(one, GivenRecord):
                assert len(one.text) < 10_000
                assert one.level in Level
            elif one is not None:
                metrics.take(one)
    except NotOtlp:
        pass
    for series in metrics.all():
        json.dumps([series.value, series.count, series.total, series.least, series.most], allow_nan=False)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["many fields", "many in one part", "deep values", "wide value", "many attributes"])
def test_a_body_made_to_cost_much_is_refused_or_read_in_a_moment(path: str, kind: str) -> None:
    if kind == "many fields":
        body = outer(part(30, 1) * 1_500_000)
    elif kind == "many in one part":
        body = outer(part(30, 1) * (MOST_PART_FIELDS + 100))
    elif kind == "deep values":
        body = outer(*[record(nested(2000)), part(1, "m") + part(5, part(1, part(7, part(2, nested(2000)))))])
    elif kind == "wide value":
        body = outer(record(part(5, part(1, b"") * 1_000_000)))
    else:
        body = outer(part(6, b"") * 1_000_000, part(1, "m") + part(5, part(1, part(7, b"") * 1_000_000)))
    began = thread_time()
    _exhaust(READERS[path](body))
    assert thread_time() - began < 2
    assert MOST_FIELDS < 1_000_000


def test_nested_values_end_at_a_small_depth() -> None:
    (found,) = [one for one in read_protobuf_records(outer(record(nested(50)))) if one]
    assert found.text == '[[[[["…"]]]]]'
    deep: Any = {"stringValue": "x"}
    for _ in range(50):
        deep = {"arrayValue": {"values": [deep]}}
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": deep}]}]}]}).encode()
    assert [one.text for one in read_json_records(body) if one] == ['[[[[["…"]]]]]']


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_numbers_that_are_none_or_without_bound_are_dropped_and_counted(value: float) -> None:
    metrics = kept(read_protobuf_points(outer(gauge(value), gauge(1.5, "good"))))
    assert [one.name for one in metrics.all()] == ["good"]
    assert metrics.dropped == 1


def test_wrong_values_in_json_are_dropped_and_counted() -> None:
    doubles: list[Any] = ["NaN", "Infinity", True, [], None]
    integers: list[Any] = ["x", "1" * 30, 10**400, 1.5, {}]
    counts: list[Any] = [-1, "-5", 10**30, "many", None]
    wrong = [*({"asDouble": one} for one in doubles), *({"asInt": one} for one in integers), {}]
    histograms: list[Any] = [*({"count": one} for one in counts), {"count": 1, "sum": math.inf}]
    metrics: list[Any] = [
        {"name": "m", "gauge": {"dataPoints": wrong}},
        {"name": "h", "histogram": {"dataPoints": histograms}},
        *({"name": name, "gauge": {"dataPoints": [{"asInt": 1}]}} for name in (7, "", " \n ", None)),
    ]
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()
    found = kept(read_json_points(body))
    assert found.all() == []
    assert found.dropped == len(wrong) + len(histograms) + 4


def test_texts_of_metrics_have_no_control_characters_and_a_bound() -> None:
    bad = "a\x1b[31m\0\u202e\ud800\nb" + "x" * 5000
    pairs = [(f"{at}{bad}", bad) for at in range(100)]
    found = PreviewMetrics()
    found.take(MetricPoint(bad, bad, "gauge", attributes=pairs, value=1))
    (series,) = found.all()
    texts = [series.name, series.unit, *(one for pair in series.attributes for one in pair)]
    assert all(one.isprintable() and len(one) <= 200 for one in texts), texts
    assert len(series.attributes) == 16
    assert found.size_bytes == series.size_bytes


def test_series_have_a_number_a_size_and_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    found = PreviewMetrics()
    for at in range(MOST_SERIES + 50):
        found.take(MetricPoint("m", "", "gauge", attributes=[("at", str(at))], value=at))
    assert (len(found.all()), found.dropped) == (MOST_SERIES, 50)
    # A known one still changes.
    found.take(MetricPoint("m", "", "gauge", attributes=[("at", "0")], value=-1))
    assert min(one.value or 0 for one in found.all()) == -1
    # Those that have stopped make room for new ones.
    monkeypatch.setattr("preview.tracing.preview_metrics.now_ms", lambda: found.all()[0].updated_ms + 10**6)
    found.take(MetricPoint("new", "", "gauge", value=1))
    assert "new" in {one.name for one in found.all()}
    assert len(found.all()) == MOST_SERIES

    large = PreviewMetrics()
    for at in range(MOST_SERIES):
        large.take(MetricPoint(f"{at:3}" + "x" * 197, "", "gauge", attributes=[("k", "v" * 100)] * 16, value=at))
    assert large.size_bytes <= MOST_BYTES
    assert large.dropped + len(large.all()) == MOST_SERIES

    fast = PreviewMetrics()
    monkeypatch.setattr("preview.tracing.preview_metrics.monotonic", lambda: 5.0)
    for _ in range(MOST_POINTS_PER_S + 7):
        fast.take(MetricPoint("m", "", "gauge", value=1))
    assert fast.dropped == 7
    fast.clear()
    assert (fast.all(), fast.size_bytes) == ([], 0)


REFUSED = {
    "garbage": (b"\xff" * 100, [], b"400"),
    "a bomb": (gzip.compress(bytes(20_000_000)), [GZIP], b"413"),
    "JSON that is too large": (b" " * 1024 * 1024 + b"{}", [JSON], b"413"),
    "deep JSON": (b"[" * 500_000, [JSON], b"400"),
    "a wrong list": (b'{"resourceLogs": 7, "resourceMetrics": {}}', [JSON], b"400"),
    "not packed": (b"plain", [GZIP], b"400"),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", REFUSED)
async def test_a_hostile_body_is_refused_and_counted_and_costs_little(path: str, name: str) -> None:
    body, fields, status = REFUSED[name]
    async with receiver() as (traces, stream, log):
        began = thread_time()
        assert await post(stream, body, *fields, path=path) == status
        assert thread_time() - began < 2
        lost = (traces.records.dropped, traces.metrics.dropped)
        assert lost == ((1, 0) if path == "/v1/logs" else (0, 1))
        assert (log.lines, traces.metrics.all()) == ([], [])
        assert traces.dropped == 0


async def test_records_over_the_rate_are_dropped_and_counted_and_the_log_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_intake, "monotonic", lambda: 5.0)
    body = outer(*[record(text(str(at))) for at in range(MOST_RECORDS_PER_S + 30)], record(text(" ")))
    async with receiver() as (traces, stream, log):
        assert await post(stream, body, path="/v1/logs") == b"200"
        assert await post(stream, body[:-1], path="/v1/logs") == b"400"
        assert [line.text for line in log.lines] == [str(at) for at in range(MOST_RECORDS_PER_S)]
        assert traces.records.taken == MOST_RECORDS_PER_S
        assert traces.records.dropped >= 31
        assert log.said == ["log records by OpenTelemetry were dropped: over 500 a second, or not readable"]


async def test_without_tracing_nothing_is_kept() -> None:
    async with receiver() as (traces, stream, log):
        traces.turn(on=False)
        assert await post(stream, outer(record(text("x"))), path="/v1/logs") == b"200"
        assert await post(stream, outer(gauge(1)), path="/v1/metrics") == b"200"
        assert (log.lines, traces.metrics.all()) == ([], [])
        assert (traces.records.dropped, traces.metrics.dropped) == (1, 1)


# What they become, beside messages that OpenTelemetry's own code has written


def logs_request() -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    first = records.add(time_unix_nano=DAY_NS, severity_number=17, trace_id=bytes.fromhex("00000000" + "ab" * 12))
    first.body.string_value = "it failed"
    for key, value in (("exception.type", "KeyError"), ("exception.message", "'x'"), ("code.line", "7")):
        first.attributes.add(key=key).value.string_value = value
    second = records.add(observed_time_unix_nano=DAY_NS + 5, severity_text="Warning")
    second.body.kvlist_value.values.add(key="n").value.int_value = -3
    second.body.kvlist_value.values.add(key="ok").value.bool_value = True
    second.body.kvlist_value.values.add(key="part").value.double_value = 0.5
    third = records.add(severity_number=1)
    third.body.bytes_value = b"abc"
    return request


def test_records_of_opentelemetry_are_read() -> None:
    first, second, third = [one for one in read_protobuf_records(logs_request().SerializeToString()) if one]
    assert (first.text, first.level, first.time_ns) == ("it failed (KeyError: 'x')", Level.ERROR, DAY_NS)
    assert first.trace_id == "00000000" + "ab" * 12
    assert (second.text, second.level, second.observed_ns) == (
        '{"n": -3, "ok": true, "part": 0.5}', Level.WARNING, DAY_NS + 5,
    )  # fmt: skip
    assert (third.text, third.level, third.time_ns) == ("<3 bytes>", Level.DEBUG, 0)


def test_records_in_json_say_the_same() -> None:
    body = {
        "timeUnixNano": str(DAY_NS), "severityNumber": 17, "traceId": "00000000" + "AB" * 12,
        "body": {"stringValue": "it failed: 'x'"},
        "attributes": [{"key": "exception.message", "value": {"stringValue": "'x'"}}],
    }  # fmt: skip
    values = [{"key": "n", "value": {"intValue": "-3"}}, {"key": "l", "value": {"arrayValue": {}}}]
    other = {"severityText": "DEBUG", "body": {"kvlistValue": {"values": values}}}
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [body, other]}]}]}
    first, second = [one for one in read_json_records(json.dumps(request).encode()) if one]
    assert (first.text, first.level, first.time_ns) == ("it failed: 'x'", Level.ERROR, DAY_NS)
    assert first.trace_id == "00000000" + "ab" * 12
    assert (second.text, second.level) == ('{"n": -3, "l": []}', Level.DEBUG)


def test_metrics_of_opentelemetry_are_read() -> None:
    request = ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    point = metrics.add(name="queue", unit="1").gauge.data_points.add(as_int=-4)
    point.attributes.add(key="name").value.string_value = "mail"
    orders = metrics.add(name="orders").sum
    orders.data_points.add(as_double=0.0)
    orders.aggregation_temporality, orders.is_monotonic = 2, True
    metrics.add(name="open").sum.data_points.add(as_int=3)
    took = metrics.add(name="took", unit="ms").histogram
    took.data_points.add(count=3, sum=6.5, min=1, max=4, bucket_counts=[1, 2], explicit_bounds=[2])
    took.aggregation_temporality = 1
    metrics.add(name="exp").exponential_histogram.data_points.add(count=2, sum=3, min=1, max=2, scale=1)
    metrics.add(name="idle").summary.data_points.add(count=0, sum=0)
    exp, idle, now_open, ordered, queue, time = points(request.SerializeToString())
    assert (queue.kind, queue.value, queue.unit, queue.attributes) == ("gauge", -4, "1", (("name", "mail"),))
    assert (ordered.kind, ordered.value, ordered.temporality) == ("counter", 0.0, "cumulative")
    assert (now_open.kind, now_open.value, now_open.temporality) == ("sum", 3, "")
    assert (time.kind, time.count, time.total, time.least, time.most) == ("histogram", 3, 6.5, 1, 4)
    assert time.temporality == "delta"
    assert (exp.kind, exp.count, exp.total, exp.most) == ("histogram", 2, 3, 2)
    assert (idle.kind, idle.count) == ("summary", 0)


def test_metrics_in_json_say_the_same() -> None:
    metrics = [
        {"name": "queue", "gauge": {"dataPoints": [
            {"asInt": "-4", "attributes": [{"key": "name", "value": {"stringValue": "mail"}}, 7]}]}},
        {"name": "orders", "sum": {"dataPoints": [{"asDouble": 1.5}], "isMonotonic": True,
                                   "aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE"}},
        {"name": "took", "histogram": {"dataPoints": [{"count": "3", "sum": 6.5}], "aggregationTemporality": 1}},
        {"name": "unknown"},
    ]  # fmt: skip
    body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]}).encode()
    orders, queue, took = kept(read_json_points(body)).all()
    assert (queue.value, queue.attributes) == (-4, (("name", "mail"),))
    assert (orders.kind, orders.value, orders.temporality) == ("counter", 1.5, "cumulative")
    assert (took.count, took.total, took.temporality) == (3, 6.5, "delta")


async def test_both_are_taken_packed_and_with_the_request_of_their_trace() -> None:
    own = "00000000" + "7e5e7e5e" + "ab" * 8
    request = logs_request()
    async with receiver() as (traces, stream, log):
        traces.take_report(
            b'span 0 ["request", "%s", "b7ad6b7169203331", "", 1, 1, "GET /", "", 200, "", "req-7"]' % own.encode()
        )
        request.resource_logs[0].scope_logs[0].log_records[0].trace_id = bytes.fromhex(own)
        assert await post(stream, gzip.compress(request.SerializeToString()), GZIP, path="/v1/logs") == b"200"
        assert await post(stream, outer(gauge(1.5, "load")), path="/v1/metrics") == b"200"
        assert [(line.request_id, line.time_ms) for line in log.lines] == [
            ("req-7", DAY_NS // 10**6), (None, DAY_NS // 10**6), (None, 0),
        ]  # fmt: skip
        assert [one.value for one in traces.metrics.all()] == [1.5]
        assert PreviewTraces("preview_b", most_spans=1, most_bytes=1).request_of(own) is None


def test_the_answer_of_the_api_has_the_newest_value_of_each_series() -> None:
    traces = PreviewTraces("preview_a", most_spans=10, most_bytes=10_000)
    traces.take_point(MetricPoint("early", "", "gauge", value=1))
    traces.turn(on=True)
    for value in (1, 2.5):
        traces.take_point(MetricPoint("queue", "1", "gauge", attributes=[("name", "mail")], value=value))
    traces.take_point(MetricPoint("took", "s", "histogram", "delta", count=3, total=6.0, least=1, most=4))
    traces.records.taken, traces.records.dropped = 7, 2
    found = json.loads(ReportedMetrics.of("preview_a", traces).model_dump_json())
    queue, took = found.pop("items")
    assert found == {
        "preview_id": "preview_a", "receiving": True, "dropped": 1, "log_records": 7, "log_records_dropped": 2,
    }  # fmt: skip
    assert (queue["name"], queue["value"], queue["attributes"], queue["count"]) == (
        "queue",
        2.5,
        {"name": "mail"},
        None,
    )
    assert (took["kind"], took["temporality"], took["count"], took["sum"]) == ("histogram", "delta", 3, 6)
    assert ReportedMetrics.of("preview_b", None).receiving is False
    traces.clear()
    assert ReportedMetrics.of("preview_a", traces).items == []
