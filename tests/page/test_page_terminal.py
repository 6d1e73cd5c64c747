"""What a person does with the log, in a real browser: each tool of the terminal, and what it does to the lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from page_kit import Running, Visit, visit
from playwright.sync_api import Browser, Locator, Route, expect

USER = "terminal-user"
TALKER = """
import logging

from fastapi import FastAPI

logging.basicConfig(level=logging.DEBUG, format="%(levelname)s: %(message)s")
app = FastAPI()


@app.get("/say/{word}")
def say(word: str):
    print(f"somebody said {word}", flush=True)


logging.debug("quiet talk")
logging.warning("worried talk")
logging.error("loud talk")
print("wide " * 60 + "the far end", flush=True)
print("\\x1b[32mread\\x1b[0m https://example.com/manual first", flush=True)
"""


@dataclass
class Talker:
    """A preview whose log has a line of each kind."""

    running: Running
    address: str

    def say(self, word: str) -> None:
        httpx2.get(f"{self.address}/say/{word}", trust_env=False, timeout=60).raise_for_status()


@pytest.fixture(scope="module")
def talker(running: Running) -> Iterator[Talker]:
    with running.api(USER) as api:
        files = {"main.py": TALKER, "requirements.txt": "fastapi\nuvicorn\n"}
        made = api.post("/api/v1/generations", json={"name": "talker", "files": files}).json()
        path = f"/api/v1/generations/{made['id']}/preview"
        launched = api.post(f"{path}/launch", json={}, headers={"Prefer": "wait=80"})
        assert launched.status_code == 201, launched.text
        yield Talker(running, launched.json()["base_url"].replace("localhost", "127.0.0.1"))
        api.delete(path)


@pytest.fixture
def seen(talker: Talker, browser: Browser) -> Iterator[Visit]:
    with visit(browser) as seen:
        seen.sign_in(talker.running, USER)
        seen.wait_for_line("ready in")
        yield seen
        assert not seen.violations


def rows_with(seen: Visit, text: str) -> Locator:
    return seen.page.locator("[data-log-rows] > div").filter(has_text=text)


def press(seen: Visit, label: str) -> None:
    seen.page.get_by_role("toolbar", name="Log tools").get_by_role("button", name=label).click()


def choose(seen: Visit, item: str) -> None:
    press(seen, "Export the log" if "line" in item else "View and clear")
    seen.page.get_by_role("menuitem", name=item).click()


_HANGS = """(row) => {
    const text = row.lastElementChild;
    const range = document.createRange();
    range.selectNodeContents(text);
    const boxes = [...range.getClientRects()];
    return boxes.length > 1 && boxes.every((one) => one.left >= text.getBoundingClientRect().left - 1);
}"""


@pytest.mark.long
def test_without_wrapping_a_long_line_is_one_row_and_the_log_scrolls_sideways(seen: Visit) -> None:
    one_row = 30
    row = rows_with(seen, "wide wide")
    assert row.evaluate("(one) => one.clientHeight") > one_row
    press(seen, "Wrap long lines")
    expect(seen.page.locator("[data-wrap=false]")).to_have_count(1)
    assert row.evaluate("(one) => one.clientHeight") < one_row
    host = seen.page.locator("[data-wrap=false]")
    assert host.evaluate("(one) => one.scrollWidth > one.clientWidth + 500")
    host.evaluate("(one) => one.scrollTo(one.scrollWidth, 0)")
    press(seen, "Wrap long lines")
    expect(seen.page.locator("[data-wrap=true]")).to_have_count(1)
    assert row.evaluate("(one) => one.clientHeight") > one_row
    # Each row of it begins below the first one's text, and at a word.
    assert row.evaluate(_HANGS)


@pytest.mark.long
def test_filters_show_only_the_levels_and_sources_that_are_chosen(seen: Visit) -> None:
    press(seen, "Filter by level and source")
    for level in ("Debug", "Info", "Warnings"):
        seen.page.get_by_role("button", name=level, exact=True).click()
    expect(rows_with(seen, "loud talk")).to_have_count(1)
    for other in ("quiet talk", "worried talk", "ready in"):
        expect(rows_with(seen, other)).to_have_count(0)
    seen.page.get_by_role("button", name="Warnings", exact=True).click()
    expect(rows_with(seen, "worried talk")).to_have_count(1)
    seen.page.get_by_role("button", name="Program", exact=True).click()
    expect(rows_with(seen, "loud talk")).to_have_count(0)
    for level in ("Info", "Debug"):
        seen.page.get_by_role("button", name=level, exact=True).click()
    expect(rows_with(seen, "files ready")).to_have_count(1)
    assert {line["source"] for line in seen.saved_lines()} == {"system"}


@pytest.mark.long
def test_what_is_cleared_stays_away_and_what_comes_is_shown(talker: Talker, seen: Visit) -> None:
    choose(seen, "Clear")
    expect(rows_with(seen, "loud talk")).to_have_count(0)
    talker.say("after-the-clearing")
    seen.wait_for_line("somebody said after-the-clearing")
    seen.page.locator("[role=log]").focus()
    seen.page.keyboard.press("Home")
    expect(rows_with(seen, "files ready")).to_have_count(0)
    assert "files ready" not in json.dumps(seen.saved_lines())


def test_copying_takes_all_that_is_shown_or_what_is_selected(talker: Talker, seen: Visit) -> None:
    seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=talker.running.url)
    choose(seen, "Copy visible lines")
    copied: str = seen.page.evaluate("() => navigator.clipboard.readText()")
    assert re.search(r"^\d{4}-\d\d-\d\dT[\d:.]+Z ERROR   ERROR: loud talk$", copied, re.MULTILINE)
    assert re.search(r"INFO    read https://example.com/manual first$", copied, re.MULTILINE)
    box = rows_with(seen, "loud talk").bounding_box()
    assert box is not None
    seen.page.mouse.click(box["x"] + 200, box["y"] + box["height"] / 2, click_count=3)
    choose(seen, "Copy visible lines")
    copied = seen.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.strip() == "ERROR: loud talk"


@pytest.mark.long
def test_the_log_is_saved_as_text_and_as_json_lines(seen: Visit) -> None:
    press(seen, "Export the log")
    with seen.page.expect_download() as download:
        seen.page.get_by_role("menuitem", name="Loaded lines as text").click()
    assert re.fullmatch(r"gen_\w+-preview_\w+\.log", download.value.suggested_filename)
    text = download.value.path().read_text()
    lines = seen.saved_lines()
    assert set(lines[0]) == {"seq", "timestamp", "level", "source", "message"}
    assert text.startswith(f"{lines[0]['timestamp']} {lines[0]['level']:7} {lines[0]['message']}\n")
    assert len(text.splitlines()) <= len(lines)
    assert "\x1b" not in text


@pytest.mark.long
def test_timestamps_are_shown_or_not_and_the_pointer_on_one_tells_it_exactly(seen: Visit) -> None:
    row = rows_with(seen, "loud talk")
    time = row.locator("[data-head] span").first
    expect(time).to_have_text(re.compile(r"\d\d:\d\d:\d\d\.\d{3}"))
    box = row.bounding_box()
    assert box is not None
    seen.page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2)
    tip = seen.page.get_by_role("tooltip")
    (line,) = (one for one in seen.saved_lines() if "loud talk" in one["message"])
    seen.page.mouse.move(box["x"] + 45, box["y"] + box["height"] / 2)
    expect(tip).to_contain_text(line["timestamp"])
    expect(tip).to_contain_text(f"Line {line['seq']} · ERROR · the program")
    seen.page.mouse.move(box["x"] + 400, box["y"] - 200)
    expect(tip).to_be_hidden()
    press(seen, "Timestamps")
    expect(time).to_be_hidden()
    press(seen, "Timestamps")
    expect(time).to_be_visible()


def test_a_link_in_a_line_opens_in_a_tab_of_its_own_that_cannot_reach_back(seen: Visit) -> None:
    def answer(route: Route) -> None:
        route.fulfill(body="the manual", content_type="text/plain")

    seen.page.context.route("https://example.com/**", answer)
    with seen.page.context.expect_page() as opened:
        seen.page.get_by_role("link", name="https://example.com/manual").click()
    assert opened.value.url == "https://example.com/manual"
    assert opened.value.evaluate("() => window.opener") is None


def test_a_wheel_scrolls_the_log_as_far_as_it_says(talker: Talker, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(talker.running, USER)
        seen.wait_for_line("ready in")
        log = seen.page.locator("[role=log]")
        log.evaluate("(one) => { one.style.height = '120px'; }")
        seen.page.wait_for_function(
            "() => { const one = document.querySelector('[role=log]');"
            " return one.clientHeight === 120 && one.scrollTop > 0"
            " && one.scrollTop + one.clientHeight >= one.scrollHeight - 1; }"
        )
        # The browser scrolls it, and so a finger does, too.
        expect(log).to_have_css("overflow-y", "auto")
        expect(log).to_have_css("touch-action", "auto")
        top: float = log.evaluate("(one) => one.scrollTop")
        log.hover(position={"x": 200, "y": 50})
        for _ in range(10):
            seen.page.mouse.wheel(0, -3)
        seen.page.wait_for_function(
            "(top) => Math.abs(document.querySelector('[role=log]').scrollTop - (top - 30)) < 2", arg=top
        )
        talker.say("while-one-reads")
        expect(seen.page.get_by_role("button", name="new line")).to_be_visible()
        assert log.evaluate("(one) => one.scrollTop") == pytest.approx(top - 30, abs=2)


@pytest.mark.long
def test_keys_lead_to_errors_and_the_search_begins_with_its_text_selected(seen: Visit) -> None:
    page = seen.page
    page.locator("[role=log]").focus()
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page.locator("[data-current]")).to_contain_text("loud talk")
    page.keyboard.press("/")
    page.keyboard.type("loud")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("worried")
    expect(page.get_by_role("textbox", name="Search the log")).to_have_value("worried")
    expect(page.get_by_text("1 line", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("[data-current]")).to_contain_text("worried talk")


@pytest.mark.long
def test_the_theme_follows_the_system_until_somebody_chooses(seen: Visit) -> None:
    ground = seen.page.get_by_role("region", name="Log", exact=True)
    dark, light = "rgb(13, 17, 23)", "rgb(251, 251, 253)"
    expect(ground).to_have_css("background-color", dark)
    seen.page.emulate_media(color_scheme="light")
    expect(ground).to_have_css("background-color", light)
    seen.page.get_by_role("button", name="Theme: system").click()
    seen.page.get_by_role("button", name="Theme: light").click()
    expect(ground).to_have_css("background-color", dark)
    seen.page.reload()
    expect(ground).to_have_css("background-color", dark)
