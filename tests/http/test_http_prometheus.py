"""Metrics for Prometheus."""

from __future__ import annotations

import re
from pathlib import Path

from http_kit import NEVER_READY, open_events, open_world
from httpx2 import Response
from prometheus_client.parser import text_string_to_metric_families

from preview.http.metrics import Metrics

START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
MAIN = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


async def test_metrics_count_answers_previews_and_streams(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(NEVER_READY)
        await world.launch(generation, wait_s=None)
        await world.client.request("ODD", "/nowhere")
        async with open_events(world, generation) as stream:
            await stream.until_message("sleeping")
            answer = await world.client.get("/metrics")
    samples = _samples(answer)
    assert samples["preview_previews",] == 1
    assert samples["preview_log_streams", ("path", "direct")] == 1
    assert samples["preview_log_streams", ("path", "ordinary")] == 0
    assert samples["preview_http_requests_total", ("method", "POST"), ("route", "v1.launch"), ("status", "201")] == 1
    assert samples["preview_http_requests_total", ("method", "OTHER"), ("route", "none"), ("status", "404")] == 1
    assert "ann" not in answer.text
    assert generation not in answer.text


def test_a_preview_s_odd_statuses_are_counted_as_one_of_their_class() -> None:
    metrics = Metrics()
    for status in (299, 298, 404, 999):
        metrics.answers.add("preview", "GET", status, 0.1)
    shown = {
        sample.labels["status"]: sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
        if sample.name == "preview_http_requests_total"
    }
    assert shown == {"200": 2, "404": 1, "900": 1}


def test_each_app_has_a_registry_of_its_own() -> None:
    first = Metrics()
    second = Metrics()
    first.answers.add("here", "GET", 200, 0.1)
    assert b'route="here"' in first.render()
    assert b'route="here"' not in second.render()


async def test_metrics_tell_of_launches_lines_errors_and_the_database(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        good = await world.keep({"preview.toml": START, "main.py": MAIN})
        await world.launch(good)
        bad = await world.keep({"preview.toml": START, "main.py": "raise SystemExit('no')"}, project="proj_2")
        launch = f"/api/v1/generations/{bad}/preview/launch"
        assert (await world.ask("POST", launch)).json()["code"] == "preview_limit_reached"
        await world.stop_preview(good)
        assert (await world.ask("POST", launch, headers={"Prefer": "wait=30"})).status_code == 500
        found = _samples(await world.client.get("/metrics"))
    assert found["preview_launches_total", ("result", "running")] == 1
    assert found["preview_launches_total", ("result", "failed")] == 1
    assert sum(count for (name, *_), count in found.items() if name == "preview_launch_failures_total") == 1
    assert found["preview_ends_total", ("cause", "user")] == 1
    assert (
        found["preview_launch_slots_total", ("how", "spare")] + found["preview_launch_slots_total", ("how", "new")] == 2
    )
    assert 0 <= found["preview_log_lag_seconds",] < 60
    assert found["preview_launch_seconds_count",] == 1
    assert 0 < found["preview_launch_seconds_sum",] < 60
    assert found["preview_launch_step_seconds_count", ("step", "answers")] == 1
    assert found["preview_launch_step_seconds_count", ("step", "environment")] == 2
    assert found["preview_http_errors_total", ("code", "preview_limit_reached")] == 1
    # Two launches, each with several leases.
    assert sum(count for (name, *_), count in found.items() if name == "preview_environments_total") >= 2
    assert found["preview_otlp_lost_total", ("kind", "audit_entries")] == 0
    lines = found["preview_log_lines_read_total",]
    assert lines == found["preview_log_lines_stored_total",] > 4
    assert found["preview_log_lines_lost_total",] == found["preview_database_failures_total",] == 0
    assert found["preview_database_seconds_count", ("kind", "write")] > 2
    assert found["preview_previews",] == 0


async def test_the_table_of_metrics_is_complete_and_diagnostics_have_them_for_operators(tmp_path: Path) -> None:
    async with open_world(tmp_path, operators="root") as world:
        answer = await world.client.get("/metrics")
        for user, status in ((None, 401), ("ann", 403)):
            assert (await world.ask("GET", "/api/v1/operator/diagnostics", user=user)).status_code == status
        facts = (await world.ask("GET", "/api/v1/operator/diagnostics", user="root")).json()
    assert "preview_previews 0.0" in facts["metrics"]
    assert (facts["database"], facts["live_previews"], facts["slow"]) == ("SQLite", 0, [])
    assert facts["isolation"] in facts["levels"]
    told = {
        (family.name + "_total" if family.type == "counter" else family.name, family.type)
        for family in text_string_to_metric_families(answer.text)
        if not family.name.startswith("process_")
    }
    table = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    listed = set(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE))
    assert listed == told


def _samples(answer: Response) -> dict[tuple[object, ...], float]:
    return {
        (sample.name, *sorted((name, value) for name, value in sample.labels.items() if name != "le")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
