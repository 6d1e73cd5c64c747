"""Spans by OTLP/HTTP come from a stranger's process: a body costs little, and never stops the rest."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from time import thread_time
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some
from otlp_kit import GZIP, JSON, attribute, part, post, receiver

from preview.tracing import Span
from preview.tracing.otlp.given import NotOtlp
from preview.tracing.otlp.json_body import read_json
from preview.tracing.otlp.protobuf import read_protobuf
from preview.tracing.otlp.wire import MOST_FIELDS, MOST_PART_FIELDS

TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"


def span_message(*attributes: bytes, kind: int = 3, name: str = "SELECT shop", failed: bool = False) -> bytes:
    made = part(1, bytes.fromhex(TRACE)) + part(2, bytes.fromhex(SPAN)) + part(4, bytes.fromhex(PARENT))
    made += part(3, "vendor=1") + part(5, name) + part(6, kind)
    made += part(7, 1_700_000_000_000_000_000, fixed=True) + part(8, 1_700_000_000_002_500_000, fixed=True)
    made += b"".join(attributes) + part(10, 1) + part(11, part(2, "an event"))
    return made + (part(15, part(2, "OperationalError: no such table: secret") + part(3, 2)) if failed else b"")


def message(*spans: bytes) -> bytes:
    scope = part(1, part(1, "opentelemetry.instrumentation")) + b"".join(part(2, one) for one in spans)
    return part(1, part(1, part(1, b"resource")) + part(2, scope))


def read(body: bytes) -> list[Span]:
    found = [one.span() for one in read_protobuf(body) if one is not None]
    return [one for one in found if one is not None]


def test_a_span_of_opentelemetry_is_one_of_the_preview() -> None:
    statement = attribute("db.statement", "select 1 from books"), attribute("db.system", "sqlite")
    call = attribute("http.request.method", "GET"), attribute("url.full", "https://u:p@host/a?key=secret#x")
    status = attribute("http.response.status_code", 503)
    sql, request, out, cache = read(
        message(
            span_message(*statement, failed=True),
            span_message(attribute("http.method", "GET"), status, kind=2, name="GET /books"),
            span_message(*call, status),
            span_message(attribute("db.system", "redis"), attribute("db.statement", "SET key secret"), name="SET"),
        )
    )
    assert (sql.kind, sql.detail, sql.duration_us, sql.error) == (
        "sql",
        "select 1 from books",
        2500,
        "OperationalError",
    )
    assert (sql.trace_id, sql.span_id, sql.parent_id, sql.source) == (TRACE, SPAN, PARENT, "otlp")
    assert (request.kind, request.status) == ("request", 503)
    assert (out.kind, out.detail, out.status) == ("call", "https://host/a", 503)
    assert (cache.kind, cache.detail) == ("cache", "")
    assert "secret" not in repr((sql, request, out, cache))


def test_the_json_form_says_the_same() -> None:
    attributes = [
        {"key": "db.query.text", "value": {"stringValue": "select 1"}},
        {"key": "http.status_code", "value": {"intValue": "200"}},
        {"key": "other", "value": {"arrayValue": {}}},
    ]
    span = {
        "traceId": TRACE.upper(), "spanId": SPAN, "name": "q", "kind": 3, "attributes": attributes,
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": 1700000000001000000, "status": {"code": 2},
    }  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    (found,) = [one.span() for one in read_json(body) if one is not None]
    assert found is not None
    assert (found.trace_id, found.kind, found.detail, found.duration_us, found.error) == (
        TRACE, "sql", "select 1", 1000, "error",
    )  # fmt: skip


@given(some.binary(max_size=400) | some.binary(max_size=60).map(lambda inner: message(inner, span_message()[:-3])))
def test_no_bytes_break_the_reader_of_protobuf(body: bytes) -> None:
    try:
        for one in read_protobuf(body):
            if one is not None:
                one.span()
    except NotOtlp:
        return


KEYS = ["resourceSpans", "scopeSpans", "spans", "status", "attributes", "key", "value", "kind", "traceId", "intValue"]
ANY_JSON = some.recursive(
    some.none() | some.text() | some.integers() | some.floats(),
    lambda inner: some.lists(inner) | some.dictionaries(some.sampled_from(KEYS), inner),
)


@settings(max_examples=40)
@given(ANY_JSON)
def test_no_json_breaks_the_reader(value: Any) -> None:
    spans = [value, {"status": value, "attributes": [value]}]
    for body in (value, {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}):
        try:
            for one in read_json(json.dumps(body).encode()):
                if one is not None:
                    one.span()
        except NotOtlp:
            pass


def test_millions_of_tiny_fields_are_refused_after_a_while() -> None:
    body = message(part(3, 1) * 1_500_000)
    began = thread_time()
    with pytest.raises(NotOtlp):
        read(body)
    assert thread_time() - began < 2
    assert MOST_FIELDS < 1_500_000


def test_one_span_is_read_in_a_moment_and_leaves_room_for_others() -> None:
    most = span_message() + part(16, 1) * (MOST_PART_FIELDS - 100)
    assert len(read(message(most, most))) == 2
    began = thread_time()
    with pytest.raises(NotOtlp):
        read(message(part(16, 1) * (MOST_FIELDS - 100)))
    assert thread_time() - began < 0.1


REFUSED = {
    "garbage": (b"\xff" * 100, [], b"400"),
    "a bomb": (gzip.compress(bytes(20_000_000)), [GZIP], b"413"),
    "too large": (bytes(4 * 1024 * 1024 + 1), [], b"413"),
    "JSON that is too large": (b" " * 1024 * 1024 + b"{}", [JSON], b"413"),
    "deep JSON": (b"[" * 500_000, [JSON], b"400"),
    "not packed": (b"plain", [GZIP], b"400"),
    "another coding": (b"plain", ["Content-Encoding: br"], b"415"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_hostile_body_is_refused_and_counted_and_costs_little(name: str) -> None:
    body, fields, status = REFUSED[name]
    async with receiver() as (traces, stream, _):
        began = thread_time()
        assert await post(stream, body, *fields) == status
        assert thread_time() - began < 2
        assert (traces.spans, traces.dropped) == (0, 1)


async def test_what_is_no_http_ends_the_connection() -> None:
    async with receiver() as (traces, stream, _):
        await stream.send_all(b"\0" * 40_000)
        with suppress(trio.BrokenResourceError):  # A reset: the rest was not read.
            assert await stream.receive_some() == b""
        assert traces.spans == 0


async def test_spans_are_taken_packed_or_not_on_one_connection() -> None:
    body = message(span_message())
    async with receiver() as (traces, stream, _):
        assert await post(stream, body, "Content-Type: application/x-protobuf") == b"200"
        assert await post(stream, gzip.compress(body), GZIP) == b"200"
        assert await post(stream, b"{}", JSON) == b"200"
        assert (traces.spans, traces.dropped) == (2, 0)
        assert await post(stream, b"x", path="/other") == b"404"
