"""Export by OTLP: a collector that fails, texts that no message takes, and bytes that OTLP's own types decode."""

from __future__ import annotations

import json
from collections import deque
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from preview.core.clock import from_ms
from preview.core.launch_steps import LaunchStep, StepState
from preview.errors import ConfigurationError
from preview.http.metrics import Metrics
from preview.http.otlp import exporter as exporter_module
from preview.http.otlp import messages
from preview.http.otlp.exporter import OtlpExporter
from preview.logs.model.events import StatusChange
from preview.logs.shipping.otlp import parse_headers

STEPS = (
    LaunchStep("files", StepState.DONE, 1_000, 20),
    LaunchStep("environment", StepState.DONE, 1_020, 300, reused=True),
    LaunchStep("migrate \ud800", StepState.FAILED, 1_320, 50),
    LaunchStep("process"),
)


def spans_of(data: bytes) -> Any:
    return ExportTraceServiceRequest.FromString(data).resource_spans[0].scope_spans[0].spans


def trace(error: str | None = "step_failed") -> list[Any]:
    return messages.launch_trace(
        STEPS, name="launch", facts={"preview.id": "preview_a"}, start_ms=990, end_ms=1_380, error=error
    )


def test_a_launch_is_a_trace_with_a_span_for_each_step_that_started() -> None:
    root, *steps = spans_of(messages.traces(trace()))
    assert (root.name, root.start_time_unix_nano, root.end_time_unix_nano) == ("launch", 990_000_000, 1_380_000_000)
    assert (root.status.code, root.status.message) == (2, "step_failed")
    assert [one.name for one in steps] == ["launch: files", "launch: environment", "launch: migrate ?"]
    assert {one.trace_id for one in steps} == {root.trace_id}
    assert {one.parent_span_id for one in steps} == {root.span_id}
    assert steps[1].end_time_unix_nano - steps[1].start_time_unix_nano == 300_000_000
    assert [one.status.code for one in steps] == [0, 0, 2]


def test_each_reload_is_a_span_of_its_own_without_the_steps_of_the_launch() -> None:
    made, listeners = OtlpExporter("http://collector:4318/", {}, Metrics()), list[Any]()
    preview = Mock()
    preview.record.id, preview.record.generation_id, preview.record.user_id = "preview_a", "gen_a", "ann@example.org"
    preview.record.created_at = from_ms(1_000)
    preview.log.broadcast.add = listeners.append
    preview.progress.parts = (LaunchStep("claim", StepState.DONE, 1_015, 5), LaunchStep("plan", StepState.DONE, 995, 9))
    made.observe(preview)
    for state, restarts in (("starting", 0), ("running", 0), ("running", 0), ("running", 1), ("running", 1)):
        listeners[0].offer(StatusChange("preview_a", state, "healthy", None, 1_000, STEPS, restarts))
    found = spans_of(data := messages.traces(list(made._spans)))
    assert [one.name for one in found if not one.parent_span_id] == ["launch", "reload"]
    assert len({one.trace_id for one in found}) == 2
    assert [one.name for one in found[1:3]] == ["launch: claim", "launch: plan"]
    assert found[2].end_time_unix_nano - found[2].start_time_unix_nano == 9_000_000
    assert found[-1].name == "reload"
    assert b"ann@example.org" not in data


@given(st.lists(st.one_of(st.text(), st.dictionaries(st.text(), st.text(), max_size=3).map(json.dumps)), max_size=5))
def test_any_log_line_can_be_exported(lines: list[str]) -> None:
    found = ExportLogsServiceRequest.FromString(messages.logs(lines))
    assert len(found.resource_logs[0].scope_logs[0].log_records) == len(lines)


def test_metrics_keep_their_names_and_numbers() -> None:
    metrics = Metrics()
    metrics.answers.add("v1.launch", "POST", 200, 0.3)
    metrics.answers.add("v1.launch", "POST", 200, 400.0)
    request = ExportMetricsServiceRequest.FromString(messages.metrics(metrics.collect(), 5))
    found = {one.name: one for one in request.resource_metrics[0].scope_metrics[0].metrics}
    (point,) = found["preview_http_requests_total"].sum.data_points
    assert point.as_double == 2
    assert {one.key: one.value.string_value for one in point.attributes}["route"] == "v1.launch"
    (seconds,) = found["preview_http_request_seconds"].histogram.data_points
    assert (seconds.count, sum(seconds.bucket_counts)) == (2, 2)
    assert len(seconds.bucket_counts) == len(seconds.explicit_bounds) + 1
    assert seconds.bucket_counts[-1] == 1


async def test_a_collector_that_fails_costs_no_memory_and_gets_the_spans_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter_module, "_MOST_SPANS", 10)
    got: list[tuple[str, bytes]] = []
    status = 503

    def answer(request: httpx2.Request) -> httpx2.Response:
        got.append((request.url.path, request.content))
        assert request.headers["x-key"] == "s3cr3t"
        return httpx2.Response(status, stream=httpx2.ByteStream(b""))

    metrics = Metrics()
    made = OtlpExporter("http://collector:4318/", {"x-key": "s3cr3t"}, metrics)
    made._spans = deque(maxlen=10)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer)) as client:
        for _ in range(20):
            made.add(trace())
            await made.flush(client)
        assert len(made._spans) == 10
        assert metrics.lost_exports["spans"] == 20 * 4 - 10
        status = 200
        await made.flush(client)
        assert len(made._spans) == 0
    assert {path for path, _ in got} <= {"/v1/traces", "/v1/logs"}
    assert len(spans_of([body for path, body in got if path == "/v1/traces"][-1])) == 10


async def test_the_end_does_not_wait_for_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter_module, "_LAST_S", 0.05)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    made = OtlpExporter(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", {}, Metrics())
    made.add(trace())
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    await listeners[0].aclose()


def test_headers_are_read_and_a_wrong_one_is_not_shown() -> None:
    assert parse_headers("a=b, c=d=e,") == {"a": "b", "c": "d=e"}
    for wrong in ("s3cr3t", "=x", "a=b\r\nX: y"):
        with pytest.raises(ConfigurationError) as caught:
            parse_headers(wrong)
        assert "s3cr3t" not in str(caught.value)
