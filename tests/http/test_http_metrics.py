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
