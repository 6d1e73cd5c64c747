"""Measurements of a preview over HTTP."""

from __future__ import annotations

from pathlib import Path

import trio
from http_kit import open_world

START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
MAIN = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


async def test_measurements_are_for_the_owner_and_count_requests(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep({"preview.toml": START, "main.py": MAIN})
        path = f"/api/v1/generations/{generation}/preview/metrics"
        assert (await world.ask("GET", path)).status_code == 404
        launched = await world.launch(generation)
        assert (await world.ask("GET", path, user="bob")).status_code == 404
        assert (await world.ask("GET", path, user=None)).status_code == 401
        for number in range(3):
            await world.ask(
                "POST",
                f"/api/v1/generations/{generation}/preview/request",
                {"method": "GET", "path": f"/books/{number}"},
                headers={"X-Preview-Token": launched["session_token"]},
            )
        found = (await world.ask("GET", path)).json()
        assert {one["endpoint"]: one["calls"] for one in found["endpoints"]}["GET /books/{id}"] == 3
        assert sum(one["requests"] for one in found["points"]) >= 3
        assert found["memory_limit_mb"] > 0
        with trio.fail_after(30):
            while not any(point["memory_mb"] for point in found["points"]):
                found = (await world.ask("GET", path)).json()
        assert any(one.startswith("Most called: GET /books/{id}") for one in found["findings"])
        # The end of a preview leaves them, for this launch alone, and another launch begins again.
        await world.stop_preview(generation)
        assert (await world.ask("GET", path, user="bob")).status_code == 404
        kept = (await world.ask("GET", path)).json()
        assert (kept["is_live"], kept["preview_id"]) == (False, launched["id"])
        assert kept["endpoints"] == found["endpoints"]
        again = await world.launch(generation)
        assert sum(one["requests"] for one in (await world.ask("GET", path)).json()["points"]) == 0
        assert (await world.ask("GET", f"{path}?preview_id={launched['id']}")).json() == kept
        assert (await world.ask("GET", f"{path}?preview_id=preview_none")).status_code == 404
        other = await world.keep({"preview.toml": START, "main.py": MAIN}, project="proj_2")
        foreign = f"/api/v1/generations/{other}/preview/metrics?preview_id={again['id']}"
        assert (await world.ask("GET", foreign)).status_code == 404


REPORTING = """
import json, os, urllib.request
metric = {"name": "queue", "unit": "1", "gauge": {"dataPoints": [{"asInt": "3"}]}}
body = json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/report":
        address = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/metrics"
        urllib.request.urlopen(urllib.request.Request(address, body, {"Content-Type": "application/json"})).read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""


async def test_metrics_that_a_program_reports_are_for_its_owner(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        # Its name in a manifest is enough.
        manifest = {"requirements.txt": "# opentelemetry-proto\n"}
        files = {"preview.toml": START + "trace = true\n", "main.py": REPORTING, **manifest}
        generation = await world.keep(files)
        path = f"/api/v1/generations/{generation}/preview/metrics/reported"
        assert (await world.ask("GET", path)).status_code == 404
        launched = await world.launch(generation)
        assert (await world.ask("GET", path, user="bob")).status_code == 404
        assert (await world.ask("GET", path, user=None)).status_code == 401
        answered = await world.ask(
            "POST",
            f"/api/v1/generations/{generation}/preview/request",
            {"method": "GET", "path": "/report"},
            headers={"X-Preview-Token": launched["session_token"]},
        )
        assert answered.json()["status_code"] == 200, answered.text
        found = (await world.ask("GET", path)).json()
        assert (found["preview_id"], found["receiving"], found["dropped"]) == (launched["id"], True, 0)
        (queue,) = found["items"]
        assert (queue["name"], queue["kind"], queue["unit"], queue["value"]) == ("queue", "gauge", "1", 3)
        # They stay when the preview has ended, for this launch alone, and are no metrics of the service.
        await world.stop_preview(generation)
        assert (await world.ask("GET", path, user="bob")).status_code == 404
        kept = (await world.ask("GET", path)).json()
        assert (kept["items"], kept["receiving"]) == (found["items"], False)
        assert "queue " not in (await world.client.get("/metrics")).text
        other = await world.keep(files, project="proj_2")
        foreign = f"/api/v1/generations/{other}/preview/metrics/reported?preview_id={launched['id']}"
        assert (await world.ask("GET", foreign)).status_code == 404


async def test_requests_that_are_not_recorded_are_counted(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep({"preview.toml": START, "main.py": MAIN})
        launched = await world.launch(generation)
        live = world.service.previews.require(generation)
        capture = f"/api/v1/generations/{generation}/preview/capture"
        calls = 0
        for mode in ("meta", "off"):
            assert (await world.ask("PUT", capture, {"capture": mode})).status_code == 200
            for _ in range(10):
                await world.ask(
                    "POST",
                    f"/api/v1/generations/{generation}/preview/request",
                    {"method": "GET", "path": "/books"},
                    headers={"X-Preview-Token": launched["session_token"]},
                )
                calls += 1
        endpoints = {name: one.durations.count for name, one in live.series.endpoints.items()}
        assert sum(endpoints.values()) == calls
        assert endpoints["other paths"] == 10
