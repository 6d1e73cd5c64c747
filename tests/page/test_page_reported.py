"""Metrics that a program reports by OpenTelemetry, on the page: three widths, and names that a stranger chose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from page_kit import Running, visit, wait_until
from playwright.sync_api import Browser, expect
from test_page_quality import serious
from understand_kit import HOSTILE

APP = f"""\
import json, os, urllib.request
HOSTILE = {HOSTILE!r}
def labels(**given):
    return [{{"key": key, "value": {{"stringValue": value}}}} for key, value in given.items()]
metrics = [
    {{"name": "queue.length", "unit": "1",
      "gauge": {{"dataPoints": [{{"asInt": "3", "attributes": labels(name="mail")}}]}}}},
    {{"name": "task.duration", "unit": "s", "histogram": {{
        "dataPoints": [{{"count": "4", "sum": 10, "max": 7}}], "aggregationTemporality": 2}}}},
    {{"name": HOSTILE, "unit": HOSTILE, "gauge": {{"dataPoints": [
        {{"asDouble": 1.5, "attributes": labels(**{{HOSTILE: HOSTILE * 40}})}}]}}}},
]
body = json.dumps({{"resourceMetrics": [{{"scopeMetrics": [{{"metrics": metrics}}]}}]}}).encode()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/report":
        address = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/metrics"
        urllib.request.urlopen(urllib.request.Request(address, body, {{"Content-Type": "application/json"}})).read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
START = '[start]\ntrace = true\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
# Its name in a manifest is enough.
MANIFEST = {"requirements.txt": "# opentelemetry-proto\n"}


@pytest.mark.long
def test_reported_metrics_are_a_table_at_each_width(running: Running, browser: Browser) -> None:
    with visit(browser, scheme="light", width=1440) as seen, running.api("reporting-user") as api:
        page = seen.page
        page.on("dialog", lambda one: seen.violations.append(one.message))
        seen.sign_in(running, "reporting-user")
        seen.drop_zip("reporting", {"main.py": APP, "preview.toml": START, **MANIFEST})
        generation = api.get("/api/v1/generations").json()["generations"][0]["id"]
        path = f"/api/v1/generations/{generation}/preview"
        launched = api.post(f"{path}/launch", json={}).raise_for_status().json()
        token = {"X-Preview-Token": launched["session_token"]}
        seen.wait_for_state("Running")
        asked = {"method": "GET", "path": "/report"}
        assert api.post(f"{path}/request", json=asked, headers=token).raise_for_status().json()["status_code"] == 200
        wait_until(lambda: len(api.get(f"{path}/metrics/reported", headers=token).json()["items"]) == 3, timeout_s=60)
        seen.show_pane("Metrics")
        page.get_by_text("Metrics that the program reports (3)").click()
        table = page.get_by_role("region", name="Reported metrics")
        expect(table.get_by_role("row").filter(has_text="queue.length {name=mail}")).to_contain_text("3")
        expect(table.get_by_role("row").filter(has_text="task.duration")).to_contain_text(
            "4 values, mean 2.5, maximum 7"
        )
        expect(table).to_contain_text("\\u202e")
        for width in (1440, 768, 390):
            page.set_viewport_size({"width": width, "height": 900})
            table.scroll_into_view_if_needed()
            expect(table).to_be_in_viewport()
            if folder := os.environ.get("PREVIEW_TEST_PICTURES"):
                page.screenshot(path=Path(folder) / f"reported-{width}.png")
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert serious(seen) == []
        assert seen.violations == []
