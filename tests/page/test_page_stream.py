from __future__ import annotations

from pathlib import Path

import pytest
from page_kit import FILES, Running, Visit, responsive, run_service, visit, watch_tasks
from playwright.sync_api import Browser, expect


def ask(seen: Visit, method: str, path: str, **values: str) -> None:
    seen.pick(method, path)
    for name, value in values.items():
        seen.page.get_by_label(f"Path: {name}").fill(value)
    seen.send()
    seen.wait_for_answer()


def assert_dense(lines: list[dict[str, object]]) -> None:
    numbers = [line["seq"] for line in lines]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.long
def test_a_burst_of_50000_lines_leaves_the_page_responsive(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "burst-user")
        seen.drop_zip("shop", FILES)
        seen.launch()
        seen.wait_for_line("the shop is open")
        watch_tasks(seen)
        with responsive(seen, "lines coming"):
            ask(seen, "GET", "/burst/{count}", count="50000")
            seen.wait_for_line("burst 49999", timeout_ms=60_000)
        lines = seen.saved_lines()
        seen.page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")
    said = [line["message"] for line in lines if str(line["message"]).startswith("burst ")]
    assert said == [f"burst {number}" for number in range(50_000)]
    assert_dense(lines)


@pytest.mark.long
def test_scrolling_up_fetches_what_was_said_before_and_counts_what_comes(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "scroll-user")
        seen.drop_zip("shop", FILES)
        seen.launch()
        ask(seen, "GET", "/burst/{count}", count="8000")
        seen.wait_for_line("burst 7999")
        # Another tab of another browser begins with the newest lines only.
        with visit(browser) as late:
            late.sign_in(running, "scroll-user")
            late.wait_for_line("burst 7999")
            late.page.locator("[role=log]").focus()
            for _ in range(40):
                late.page.keyboard.press("Home")
                late.page.wait_for_timeout(250)
                if late.sees("files ready"):
                    break
            late.wait_for_line("files ready")
            ask(seen, "GET", "/burst/{count}", count="25")
            late.page.get_by_role("button", name="new line").click()
            late.wait_for_line("burst 24")
            assert_dense(late.saved_lines())
        seen.page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")


@pytest.mark.long
def test_a_reload_goes_on_where_the_tab_was(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "reload-user")
        seen.drop_zip("shop", FILES)
        seen.launch()
        ask(seen, "GET", "/tick/{count}", count="100")
        seen.wait_for_line("tick 20")
        with seen.page.expect_request("**/logs/stream*") as resumed:
            seen.page.reload()
        assert int(resumed.value.headers["last-event-id"]) > 1
        seen.wait_for_line("tick 99")
        lines = seen.saved_lines()
        seen.page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")
    assert_dense(lines)


@pytest.mark.long
def test_tabs_of_one_browser_share_one_stream_and_hand_it_on(running: Running, browser: Browser) -> None:
    with visit(browser) as first:
        first.sign_in(running, "tabs-user")
        first.drop_zip("shop", FILES)
        first.launch()
        first.wait_for_line("the shop is open")
        second = Visit(first.page.context.new_page())
        second.page.goto(first.page.url)
        second.wait_for_line("the shop is open")
        with running.api("tabs-user") as api:
            (preview,) = api.get("/api/v1/previews?status=running").json()["previews"]
            assert api.get(f"/api/v1/previews/{preview['id']}").json()["watchers"] == 1
        ask(second, "GET", "/tick/{count}", count="200")
        second.wait_for_line("tick 20")
        first.page.close()
        second.wait_for_line("tick 199")
        assert_dense(second.saved_lines())
        second.page.get_by_role("button", name="Stop", exact=True).click()
        second.wait_for_state("Stopped")


@pytest.mark.long
@pytest.mark.parametrize("how", ["killed", pytest.param("told to end", marks=pytest.mark.long)])
def test_a_service_restarted_under_the_page_costs_no_line_and_repeats_none(
    how: str, browser: Browser, tmp_path: Path
) -> None:
    with run_service(tmp_path) as running, visit(browser) as seen:
        seen.sign_in(running, "ann")
        seen.drop_zip("shop", FILES)
        seen.launch()
        ask(seen, "GET", "/tick/{count}", count="2000")
        seen.wait_for_line("tick 150")
        if how == "killed":
            running.kill()
        else:
            running.process.terminate()
            running.process.wait(30)
        promise = "Reconnecting; no lines" if how == "killed" else "This page reconnects when it is back"
        expect(seen.page.get_by_text(promise)).to_be_visible()
        if how == "killed":
            projects = seen.page.get_by_role("navigation", name="Projects")
            expect(projects.get_by_text("unknown", exact=True)).to_be_visible()
            expect(seen.page.get_by_label("Preview", exact=True).locator("[data-state=lost]")).to_have_text("Unknown")
            expect(seen.page.get_by_role("alert")).to_have_count(0)
        running.start_again()
        expect(seen.page.get_by_text("Ended", exact=True).first).to_be_visible(timeout=45_000)
        lines = seen.saved_lines()
        with running.api("ann") as api:
            (preview,) = api.get("/api/v1/previews").json()["previews"]
            path = f"/api/v1/generations/{preview['generation_id']}/preview/logs"
            kept = api.get(path, params={"limit": "1000", "ansi": "keep"}).json()["lines"]
    assert_dense(lines)
    shown = {line["seq"]: line["message"] for line in lines}
    assert {line["seq"]: line["message"] for line in kept}.items() <= shown.items()
