"""The slowest functions on the page: measured by a button, and shown as nested bars; what a stranger named is text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from page_kit import Running, visit
from playwright.sync_api import Browser, Route
from test_page_quality import serious

APP = """\
import time
def author():
    time.sleep(0.05)
def books():
    for _ in range(3): author()
def app(environ, start_response):
    if environ["PATH_INFO"] == "/busy":
        author(); books()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), pytest.param("dark", 390, marks=pytest.mark.long)])
def test_a_person_measures_which_functions_take_the_time(
    running: Running, browser: Browser, scheme: str, width: int
) -> None:
    user = f"profile-{scheme}"
    with visit(browser, scheme=scheme, width=width) as seen, running.api(user) as api:
        page = seen.page
        # The page measures for ten seconds; three are enough here.
        page.route("**/preview/profile", _shorten)
        seen.sign_in(running, user)
        seen.drop_zip("told", {"main.py": APP, "preview.toml": START})
        generation = api.get("/api/v1/generations").json()["generations"][0]["id"]
        path = f"/api/v1/generations/{generation}/preview"
        launched = api.post(f"{path}/launch", json={}).raise_for_status().json()
        token = {"X-Preview-Token": launched["session_token"]}
        seen.wait_for_state("Running")
        seen.show_pane("Metrics")
        section = page.get_by_role("region", name="Slowest functions")
        section.get_by_role("button", name="Measure for 10 s").click()
        section.get_by_text("Send requests to the preview now.").wait_for()
        asked = {"method": "GET", "path": "/busy"}
        while section.get_by_role("button", name="Measuring…").count():
            api.post(f"{path}/request", json=asked, headers=token).raise_for_status()
        section.get_by_text("Reported by the application.").wait_for()
        rows = section.get_by_role("list", name="Functions").get_by_role("listitem")
        assert "app main.py:6" in rows.first.inner_text().replace("\n", " ")
        assert "author main.py:2" in rows.last.inner_text().replace("\n", " ")
        if folder := os.environ.get("PREVIEW_TEST_PICTURES"):
            section.scroll_into_view_if_needed()
            page.screenshot(path=Path(folder) / f"profile-{scheme}-{width}.png")
        assert serious(seen) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert seen.violations == []


def _shorten(route: Route) -> None:
    if route.request.method == "POST":
        route.continue_(post_data='{"seconds": 3}')
    else:
        route.continue_()
