"""Spans come from a stranger's process: everything about them has a bound, and nothing about them is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from preview.tracing import (
    MOST_LINE,
    Kind,
    PreviewTraces,
    TraceKeeper,
    hints_of,
    parent_field,
    read_parent,
    read_report,
    trace_of_request,
)
from preview.tracing.preview_traces import MOST_IN_TRACE, MOST_PER_S
from preview.tracing.span import MOST_DETAIL, MOST_NAME

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def fields(**changes: object) -> list[object]:
    given: dict[str, object] = {
        "kind": "sql",
        "trace": TRACE,
        "span": SPAN,
        "parent": "",
        "start": 1_000_000,
        "took": 500,
        "name": "SELECT books",
        "detail": "SELECT * FROM books",
        "status": 0,
        "error": "",
        "request_id": "",
    }
    return list((given | changes).values())


def report(dropped: int = 0, **changes: object) -> bytes:
    return b"span %d " % dropped + json.dumps(fields(**changes)).encode()


def traced(most_spans: int = 20_000, most_bytes: int = 100_000_000) -> PreviewTraces:
    traces = PreviewTraces("preview_a", most_spans=most_spans, most_bytes=most_bytes)
    traces.turn(on=True)
    return traces


def take(traces: PreviewTraces, count: int, detail: str = "SELECT 1") -> None:
    """Take spans of one trace each, past the limit of a second."""
    for at in range(count):
        _, span = read_report(report(trace=f"{at + 1:032x}", detail=detail))
        assert span is not None
        traces._keep(span)  # without the limit of a second


BAD: list[bytes] = [
    b"span",
    b"span 0",
    b"span 0 {}",
    b"span 0 []",
    b"span 0 [",
    b"span 0 " + b"[" * 8000,
    b"span 0 " + b'{"a":' * 1600,
    b"span 0 [" + b"9" * 8000 + b"]",
    b"span 0 " + json.dumps([*fields(), 1]).encode(),
    b"span -1 " + json.dumps(fields()).encode(),
    b"span 99999999 " + json.dumps(fields()).encode(),
    "span \u0663 ".encode() + json.dumps(fields()).encode(),
    report(trace=TRACE.upper()),
    report(trace="0" * 32),
    report(trace=TRACE + "0"),
    report(trace=5),
    report(span="0" * 16),
    report(span=""),
    report(parent="x" * 16),
    report(start=-1),
    report(start=10**30),
    report(start=1.5),
    report(start=True),
    report(took=-1),
    report(took=10**12),
    report(took=None),
    report(name=["a"]),
    report(detail="x" * MOST_LINE),
    report().replace(b"500", b"NaN"),
    report() + b"\xff",
]


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_what_is_no_span_is_counted_and_nothing_else(line: bytes) -> None:
    traces = traced()
    traces.take_report(line)
    assert (traces.spans, traces.size_bytes, traces.newest()) == (0, 0, [])
    assert traces.dropped > 0


@given(some.binary(max_size=300) | some.recursive(some.none() | some.text() | some.integers(), some.lists).map(str))
@example(b"\x00")
def test_no_bytes_break_the_reader(text: bytes | str) -> None:
    line = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    assert read_report(b"span 0 " + line)[1] is None


@given(some.dictionaries(some.sampled_from(["name", "detail", "error", "kind", "request_id"]), some.text()))
def test_any_text_becomes_one_that_can_be_stored_shown_and_printed(changes: dict[str, Any]) -> None:
    line = report(**changes)
    if len(line) > MOST_LINE:
        return
    span = read_report(line)[1]
    assert span is not None
    for shown in (span.name, span.detail, span.error, span.request_id):
        shown.encode()
        assert all(one.isprintable() or one in "\n\t " or ord(one) > 0x9F for one in shown)
    assert "\n" not in span.name + span.error
    assert span.kind in Kind


def test_names_and_statements_are_cut_and_escape_sequences_have_no_effect() -> None:
    span = read_report(report(name="\x1b]0;title\x07" + "n" * 999, detail="\u202e" + "d" * 3000))[1]
    assert span is not None
    assert span.name.startswith("\\u001b]0;title\\u0007n")
    assert len(span.name) == MOST_NAME
    assert span.detail.startswith("\\u202ed")
    assert len(span.detail) == MOST_DETAIL


def test_a_flood_costs_the_preview_its_own_spans_and_no_work() -> None:
    traces = traced()
    for _ in range(3 * MOST_PER_S):
        traces.take_report(report())
    assert traces.spans <= MOST_IN_TRACE
    assert traces.dropped >= 3 * MOST_PER_S - 2 * MOST_IN_TRACE


def test_the_oldest_traces_go_when_there_are_too_many_spans_or_bytes() -> None:
    traces = traced(most_spans=10)
    take(traces, 25)
    assert (traces.spans, traces.removed) == (10, 15)
    assert [trace.number for trace in traces.newest()] == list(range(25, 15, -1))
    small = traced(most_bytes=100_000)
    take(small, 200, detail="x" * MOST_DETAIL)
    assert small.size_bytes <= 100_000
    small.clear()
    assert (small.spans, small.size_bytes) == (0, 0)


def test_one_trace_cannot_grow_without_bound() -> None:
    traces = traced()
    for at in range(MOST_IN_TRACE + 5):
        _, span = read_report(report(span=f"{at + 1:016x}"))
        assert span is not None
        traces._keep(span)  # without the limit of a second
    trace = traces.get(TRACE)
    assert trace is not None
    assert (len(trace.spans), trace.dropped, traces.dropped) == (MOST_IN_TRACE, 5, 5)


def test_a_preview_that_floods_loses_its_own_traces_and_not_those_of_others() -> None:
    keeper = TraceKeeper(most_spans=20_000, most_bytes=400_000)
    quiet, loud = keeper.open("preview_quiet"), keeper.open("preview_loud")
    for one in (quiet, loud):
        one.turn(on=True)
    take(quiet, 3)
    take(loud, 500)
    assert (quiet.spans, keeper.size_bytes <= 400_000) == (3, True)
    assert keeper.size_bytes == quiet.size_bytes + loud.size_bytes
    # The same ids in two previews are two traces.
    assert quiet.get(f"{1:032x}") is not loud.get(f"{1:032x}")
    keeper.forget("preview_loud")
    assert keeper.size_bytes == quiet.size_bytes
    loud.take_report(report())
    assert loud.spans == 0


def test_many_previews_with_little_room_never_break_the_count() -> None:
    keeper = TraceKeeper(most_spans=5, most_bytes=9000)
    every = [keeper.open(f"preview_{at}") for at in range(300)]
    for one in every:
        one.turn(on=True)
        take(one, 4, detail="x" * 500)
        assert keeper.size_bytes <= 9000
    assert keeper.size_bytes == sum(one.size_bytes for one in every)
    assert keeper.find("preview_0") is None


def test_while_tracing_is_off_nothing_is_kept() -> None:
    traces = PreviewTraces("preview_a", most_spans=10, most_bytes=10_000)
    traces.take_report(report())
    assert (traces.spans, traces.dropped) == (0, 1)


@given(some.text(alphabet="'\"(),?%s $1abc\n0.9", max_size=2000))
def test_hints_are_given_for_any_statement(statement: str) -> None:
    span = read_report(report(detail=statement))[1]
    assert span is not None
    assert len(hints_of([span] * 20)) <= 10


def test_a_statement_that_is_repeated_with_other_values_is_one_hint() -> None:
    spans = []
    for at in range(12):
        _, span = read_report(
            report(span=f"{at + 1:016x}", detail=f"SELECT name FROM authors WHERE id = {at} AND x = 'it''s {at}'")
        )
        assert span is not None
        spans.append(span)
    (hint,) = hints_of(spans)
    assert (hint.kind, hint.count, hint.duration_us) == ("repeated_statement", 12, 6000)
    assert hint.statement == "SELECT name FROM authors WHERE id = ? AND x = ??"
    assert "12 times (6.0 ms)" in hint.sentence
    assert len(hint.span_ids) == 12


def test_a_slow_statement_is_a_hint_and_commits_are_none() -> None:
    lines = [report(detail="SELECT pg_sleep(1)", took=150_000)]
    lines += [report(span=f"{at + 2:016x}", detail="COMMIT") for at in range(9)]
    spans = [span for line in lines if (span := read_report(line)[1]) is not None]
    (hint,) = hints_of(spans)
    assert hint.kind == "slow_statement"
    assert "150.0 ms" in hint.sentence


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"00-00000000000000000000000000000000-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-" + b"m" * 600,
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
    ],
)
def test_an_invalid_traceparent_is_none(value: bytes) -> None:
    assert read_parent(value) is None


def test_a_request_and_its_trace_have_the_same_bits() -> None:
    number = b"1122aabb" + b"0123456789abcdef"
    field = parent_field(number)
    assert field == b"00-000000001122aabb0123456789abcdef-0123456789abcdef-01"
    found = read_parent(field)
    assert found is not None
    assert found[0] == trace_of_request(number.decode())
    assert trace_of_request("of-a-client") is None
