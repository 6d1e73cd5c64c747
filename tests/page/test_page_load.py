"""A log of 200,000 lines: the page stays responsive, keeps a bounded part of it, and fetches the rest when asked."""

from __future__ import annotations

import os
import time

import httpx2
import pytest
from page_kit import FILES, PATIENCE_MS, Running, responsive, visit, watch_tasks
from playwright.sync_api import Browser, Request, expect

LINES = 200_000
# Elements in the page: a screenful of rows, whatever the log holds.
MOST_ELEMENTS = 3_000
MOST_HEAP_BYTES = 400 * 1024 * 1024
# Pages of history fetched by scrolling up.
PAGES = 4


def launch_shop(running: Running, user: str) -> str:
    """Launch it, and where it answers."""
    with running.api(user) as api:
        made = api.post("/api/v1/generations", json={"name": "shop", "files": FILES}).json()
        path = f"/api/v1/generations/{made['id']}/preview/launch"
        launched = api.post(path, json={}, headers={"Prefer": "wait=80"})
    assert launched.status_code == 201, launched.text
    address: str = launched.json()["base_url"].replace("localhost", "127.0.0.1")
    return address


def stop(running: Running, user: str) -> None:
    with running.api(user) as api:
        for one in api.get("/api/v1/previews?status=running").json()["previews"]:
            api.delete(f"/api/v1/generations/{one['generation_id']}/preview")


@pytest.mark.long
def test_200000_lines_come_and_are_searched_scrolled_and_filtered_without_lag(
    running: Running, browser: Browser
) -> None:
    address = launch_shop(running, "load-user")
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "load-user")
        seen.wait_for_line("ready in")
        watch_tasks(seen)
        with responsive(seen, "lines coming"):
            httpx2.get(f"{address}/burst/{LINES}", trust_env=False, timeout=90)
            seen.wait_for_line(f"burst {LINES - 1}", timeout_ms=PATIENCE_MS)
        with responsive(seen, "searching"):
            page.get_by_role("button", name="Search (Ctrl+F)").click()
            field = page.get_by_role("textbox", name="Search the log")
            field.fill("burst 77777")
            expect(page.get_by_text("1 line", exact=True)).to_be_visible()
            field.press("Enter")
            seen.wait_for_line("burst 77777")
            field.press("Escape")
        with responsive(seen, "scrolling"):
            page.locator("[role=log]").focus()
            for key in ("PageUp",) * 20 + ("PageDown",) * 5:
                page.keyboard.press(key)
            page.mouse.move(400, 500)
            for _ in range(30):
                page.mouse.wheel(0, -900)
            page.keyboard.press("Home")
            seen.wait_for_line("files ready")
            page.keyboard.press("End")
            seen.wait_for_line(f"burst {LINES - 1}", timeout_ms=PATIENCE_MS)
        with responsive(seen, "filtering"):
            page.get_by_role("button", name="Filter by level and source").click()
            page.get_by_role("button", name="Program", exact=True).click()
            seen.wait_for_line("files ready")
            page.get_by_role("button", name="Program", exact=True).click()
            seen.wait_for_line(f"burst {LINES - 1}")
        with responsive(seen, "saving"):
            lines = seen.saved_lines()
        assert len(lines) >= LINES
        assert page.locator("*").count() < MOST_ELEMENTS
        assert page.evaluate("() => performance.memory.usedJSHeapSize") < MOST_HEAP_BYTES
    stop(running, "load-user")


@pytest.mark.long
def test_a_late_watcher_gets_the_newest_lines_the_launch_s_steps_and_the_rest_when_scrolled_to(
    running: Running, browser: Browser
) -> None:
    address = launch_shop(running, "late-user")
    httpx2.get(f"{address}/burst/20000", trust_env=False, timeout=90)
    with visit(browser) as seen:
        page = seen.page
        asked: list[str] = []

        def note(request: Request) -> None:
            if "before=" in request.url:
                asked.append(request.url)

        page.on("request", note)
        seen.sign_in(running, "late-user")
        seen.wait_for_line("burst 19999")
        watch_tasks(seen)
        page.get_by_role("button", name="Launched in").click()
        steps = page.get_by_role("list", name="Steps of the launch")
        expect(steps.locator("[data-state=done]")).to_have_count(4)
        assert len(asked) <= 1
        assert 5_000 <= len(seen.saved_lines()) < 5_050
        with responsive(seen, "fetching what is older"):
            page.locator("[role=log]").focus()
            deadline = time.monotonic() + 30
            while len(asked) < PAGES:
                assert time.monotonic() < deadline, asked
                page.keyboard.press("Home")
                page.wait_for_timeout(100)
            page.get_by_text("Loading earlier lines").wait_for(state="hidden")
        lines = seen.saved_lines()
        numbers = [line["seq"] for line in lines]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) >= 5_000 + 1_000 * (PAGES - 1)
    stop(running, "late-user")


def test_a_page_that_does_not_answer_is_noticed(
    running: Running, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would say."""
    # As if nothing ran beside it: what a busy machine is allowed could be more than the three seconds.
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    with visit(browser) as seen:
        seen.page.goto(running.url)
        watch_tasks(seen)
        with pytest.raises(AssertionError, match="busy: a task took"), responsive(seen, "busy"):
            seen.page.evaluate(
                "() => new Promise((done) => setTimeout(() => {"
                " const until = performance.now() + 3000; while (performance.now() < until); done(); }))"
            )
