"""Spans of real projects: what a request did is seen, without its values, and nothing of it is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from direct_kit import get, trace_of
from launch_kit import Rig, open_rig, story, target
from tracing_projects import BOOKS, SHOPS

from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.logs import Level, Source
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.tracing import ProfileState, functions_of

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
# As OpenTelemetry's exporter does.
OTLP = """
import json, os, urllib.request
from fastapi import FastAPI, Request
app = FastAPI()
@app.get("/")
def home(): return "ok"
@app.get("/export")
def export(request: Request):
    _, trace, parent, _ = request.headers["traceparent"].split("-")
    span = {"traceId": trace, "spanId": "1" * 16, "parentSpanId": parent, "name": "work",
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000002000000"}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    return send("traces", body)
@app.get("/tell")
def tell(request: Request):
    trace = request.headers["traceparent"][3:35]
    record = {"severityNumber": 17, "body": {"stringValue": "mail lost"}, "traceId": trace}
    send("logs", json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).encode())
    metric = {"name": "queue", "gauge": {"dataPoints": [{"asInt": "3"}]}}
    return send("metrics", json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode())
def send(signal, body):
    asked = urllib.request.Request(os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/" + signal, body,
                                   {"Content-Type": "application/json"})
    return urllib.request.urlopen(asked, timeout=20).status
early = {"name": "imported", "gauge": {"dataPoints": [{"asInt": "1"}]}}
send("metrics", json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [early]}]}]}).encode())
"""
EXPORTING = (
    {"requirements.txt": "fastapi\n", "main.py": OTLP},
    StartPlan(
        "fastapi",
        Toolchain.PYTHON,
        Server.ASGI,
        target("main", "app", framework="fastapi"),
        trace=True,
        exports_spans=True,
    ),
)


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=0)
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def assert_profiled(preview: LivePreview) -> None:
    """Measure the functions for a second, in which requests come."""
    assert preview.control is not None
    profile = preview.control.profile(1)
    assert profile is not None
    with trio.fail_after(30):
        while profile.state is ProfileState.RUNNING:
            await get(preview, "/busy")
    found = [(one.name, one.place) for one in functions_of(profile.nodes)]
    assert profile.state is ProfileState.FINISHED
    assert any(one == "busy" and place for one, place in found), (found, profile.samples)


@pytest.mark.parametrize("kind", SHOPS)
async def test_a_query_per_row_is_seen_and_is_a_hint(rig: Rig, kind: str) -> None:
    preview = await rig.start(*SHOPS[kind])
    assert preview.record.state is State.RUNNING, story(preview)
    assert await get(preview, "/books/a?token=secret-name", x_request_id="r1", traceparent=PARENT) == 200
    trace = await trace_of(preview, "r1")
    assert (trace.trace_id, trace.root.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert (trace.root.kind, trace.root.status) == ("request", 200)
    assert trace.root.name in {"GET /books/a", "GET /books/{shelf}"}
    assert {span.parent_id for span in trace.spans if span is not trace.root} == {trace.root.span_id}
    repeated = [hint for hint in trace.hints if hint.kind in {"repeated_statement", "repeated_call"}]
    assert [hint.count for hint in repeated] == [BOOKS], trace.spans
    assert "secret-name" not in repr([span for span in trace.spans if not span.detail.startswith("create")])
    assert all(0 <= span.duration_us <= trace.duration_us for span in trace.spans)
    await get(preview, "/crash", x_request_id="r2")
    crash = await trace_of(preview, "r2")
    assert crash.root.status == 500
    assert crash.has_error
    await assert_profiled(preview)
    if kind != "express":
        # Django sets a new connection up first.
        assert [span.error for span in crash.spans if span.kind == "sql"][-1] == "OperationalError"


async def test_a_project_with_opentelemetry_sends_its_signals_out_of_the_sandbox(rig: Rig) -> None:
    preview = await rig.start(*EXPORTING)
    assert preview.record.state is State.RUNNING, story(preview)
    # The receiver listens before the program's first statement.
    assert [one.name for one in preview.traces.metrics.all()] == ["imported"]
    assert await get(preview, "/export", traceparent=PARENT, x_request_id="r1") == 200
    trace = await trace_of(preview, "r1")
    while not any(span.source == "otlp" for span in trace.spans):  # noqa: ASYNC110  it has no event
        await trio.sleep(0.01)
    (found,) = [span for span in trace.spans if span.source == "otlp"]
    assert (found.trace_id, found.name, found.duration_us) == (PARENT[3:35], "work", 2000)

    assert await get(preview, "/tell", traceparent=PARENT) == 200
    (line,) = [one for one in preview.log.last_lines(50) if one.message == "mail lost"]
    assert (line.source, line.level, line.request_id) == (Source.REPORTED, Level.ERROR, "r1")
    assert [(one.name, one.value) for one in preview.traces.metrics.all()] == [("imported", 1), ("queue", 3)]


async def test_without_the_setting_nothing_is_reported(rig: Rig) -> None:
    files, plan = SHOPS["flask"]
    preview = await rig.start(files, StartPlan(plan.framework, plan.toolchain, plan.server, plan.target))
    assert await get(preview, "/books/a") == 200
    assert (preview.traces.is_on, preview.traces.spans) == (False, 0)
    assert rig.service.traces.find(preview.id) is None


async def test_forks_of_templates_and_the_process_after_a_restart_are_traced_too(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2)
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as rig:
            for number in range(3):
                preview = await rig.start(*SHOPS["fastapi"])
                assert preview.record.state is State.RUNNING, story(preview)
                assert await get(preview, "/books/a", x_request_id=f"r{number}") == 200
                trace = await trace_of(preview, f"r{number}")
                assert [hint.count for hint in trace.hints] == [BOOKS]
                await rig.service.previews.stop("g1")
                await preview.over.wait()
            preview = await rig.start(*EXPORTING)
            assert preview.record.state is State.RUNNING, story(preview)
            assert [one.name for one in preview.traces.metrics.all()] == ["imported"]
