"""The log as a reader wants it, in a real browser: tracebacks in one row each, by pointer and by keyboard."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from page_kit import Running, Visit, visit
from playwright.sync_api import Browser, Locator, expect

USER = "log-reader"
MAIN = """
import json
import sys

from fastapi import FastAPI

from shop import find_price

app = FastAPI()


@app.get("/price/{name}")
def price(name: str):
    return find_price(name)


@app.get("/say/{word}")
def say(word: str):
    print(f"somebody said {word}", flush=True)


@app.get("/order/{number}")
def order(number: int):
    line = {"level": "info", "message": f"order {number} placed", "user": {"id": number, "name": "<b>Ada</b>"}}
    print(json.dumps(line), flush=True)


@app.get("/load")
def load():
    for done in range(0, 101, 5):
        sys.stderr.write(f"\\r{done:3d}%|{'#' * (done // 5):20}| {done}/100")
        sys.stderr.flush()
    sys.stderr.write("\\n")
"""
SHOP = """
PRICES = {"tea": 3}


def find_price(name):
    return PRICES[name]
"""


@dataclass
class Shop:
    """A preview that fails on demand."""

    running: Running
    address: str

    def get(self, path: str) -> None:
        httpx2.get(f"{self.address}{path}", trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def shop(running: Running) -> Iterator[Shop]:
    with running.api(USER) as api:
        files = {"main.py": MAIN, "shop.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}
        made = api.post("/api/v1/generations", json={"name": "shop", "files": files}).json()
        path = f"/api/v1/generations/{made['id']}/preview"
        launched = api.post(f"{path}/launch", json={}, headers={"Prefer": "wait=80"})
        assert launched.status_code == 201, launched.text
        shop = Shop(running, launched.json()["base_url"].replace("localhost", "127.0.0.1"))
        shop.get("/price/coffee")
        yield shop
        api.delete(path)


@pytest.fixture
def seen(shop: Shop, browser: Browser) -> Iterator[Visit]:
    with visit(browser) as seen:
        seen.sign_in(shop.running, USER)
        seen.wait_for_line("KeyError: 'coffee'")
        yield seen
        assert not seen.violations


def rows_with(seen: Visit, text: str) -> Locator:
    return seen.page.locator("[data-log-rows] > div").filter(has_text=text)


def test_a_traceback_is_one_row_that_opens_in_place_and_leads_to_the_file(seen: Visit) -> None:
    row = rows_with(seen, "KeyError: 'coffee'")
    expect(row).to_have_text(re.compile(r"KeyError: 'coffee' — shop\.py:6 \(\d\d frames hidden\)$"))
    expect(rows_with(seen, "starlette")).to_have_count(0)
    before = row.bounding_box()
    row.get_by_role("button", name="Traceback").click()
    opened = rows_with(seen, "Traceback (most recent call last)").first
    after = opened.bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 2
    seen.page.keyboard.press("Tab")
    # Frames of packages stand back, and no path of the service's machine is read.
    log = seen.page.locator("[role=log]")
    expect(log).to_be_visible()
    log.evaluate("(one) => one.scrollBy(0, 100_000)")
    own = rows_with(seen, 'File "shop.py", line 6, in find_price')
    expect(own).to_have_attribute("data-frame", "own")
    expect(rows_with(seen, 'File "starlette/').first).to_have_attribute("data-frame", "other")
    assert not seen.sees("site-packages")
    own.get_by_role("button", name="Open shop.py, line 6").click()
    expect(seen.page.get_by_text("return PRICES[name]").first).to_be_visible()


def test_keys_alone_find_open_and_close_a_traceback(seen: Visit) -> None:
    page = seen.page
    log = page.locator("[role=log]")
    log.focus()
    page.keyboard.press("g")
    page.keyboard.press("e")
    current = page.locator("[data-current]")
    for _ in range(5):
        if "KeyError" in current.inner_text():
            break
        page.keyboard.press("e")
    expect(current).to_contain_text("KeyError: 'coffee'")
    page.keyboard.press("Enter")
    expect(rows_with(seen, 'File "').first).to_be_visible()
    expect(current).to_contain_text("Traceback (most recent call last)")
    page.keyboard.press("Enter")
    expect(rows_with(seen, 'File "')).to_have_count(0)
    # The search finds what is folded, and opens it.
    page.keyboard.press("/")
    page.keyboard.type("return PRICES")
    expect(page.get_by_text("1 line", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("[data-current]")).to_contain_text("return PRICES[name]")


def test_a_json_line_opens_by_key_and_its_values_narrow_the_log(shop: Shop, seen: Visit) -> None:
    page = seen.page
    for number in (7, 8):
        shop.get(f"/order/{number}")
    row = rows_with(seen, "order 7 placed")
    expect(row).to_contain_text('order 7 placed user={"id":7,"name":"<b>Ada</b>"}')
    row.get_by_role("button", name="Values").focus()
    page.keyboard.press("Enter")
    expect(row.get_by_role("button", name="Values")).to_be_focused()
    expect(row).to_contain_text('name: "<b>Ada</b>"')
    row.get_by_role("button", name="show user.id as a column").click()
    expect(page.get_by_role("group", name="Columns")).to_contain_text("user.id")
    assert "column=user.id" in page.url
    page.get_by_role("button", name="Remove the column user.id").click()
    expect(page.get_by_role("group", name="Columns")).to_have_count(0)
    row.get_by_role("button", name="include lines with @user.id:7").focus()
    page.keyboard.press("Enter")
    expect(rows_with(seen, "order 8 placed")).to_have_count(0)
    expect(rows_with(seen, "order 7 placed")).to_have_count(1)
    assert "filter=%40user.id%3A7" in page.url


def test_a_progress_bar_is_one_row_with_its_newest_state(shop: Shop, seen: Visit) -> None:
    shop.get("/load")
    row = rows_with(seen, "100/100")
    expect(row).to_have_text(re.compile(r"100%\|#{20}\| 100/100 \(21 progress lines\)$"))
    expect(rows_with(seen, "50/100")).to_have_count(0)
    row.get_by_role("button", name="Progress").focus()
    seen.page.keyboard.press("Enter")
    expect(rows_with(seen, "50/100")).to_have_count(1)


def test_the_timeline_narrows_the_log_to_a_span_that_stands_in_the_address(seen: Visit) -> None:
    page = seen.page
    timeline = page.get_by_role("group", name=re.compile("^Timeline of (all|the loaded) lines"))
    spans = timeline.get_by_role("button")
    expect(timeline.get_by_role("button", name=re.compile("error")).first).to_be_visible()
    before = len(seen.saved_lines())
    # The first span has the focus of them all; arrows go on.
    spans.first.focus()
    page.keyboard.press("End")
    expect(spans.last).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("filter=since%3A.*filter=until%3A"))
    expect(page.get_by_text(re.compile(r"^\d+ of \d+ lines$"))).to_be_visible()
    page.get_by_role("button", name="All time").click()
    page.wait_for_url(re.compile("^(?!.*since)"))
    assert len(seen.saved_lines()) >= before
    page.get_by_role("button", name="Filter by level and source").click()
    expect(page.get_by_role("button", name="Errors", exact=True)).to_have_attribute("data-count", re.compile("[1-9]"))


@pytest.mark.long
def test_new_lines_are_said_to_screen_readers_in_batches(shop: Shop, seen: Visit) -> None:
    said = seen.page.get_by_role("status", name="New lines")
    expect(said).to_have_text("")
    for word in ("one", "two", "three"):
        shop.get(f"/say/{word}")
    expect(said).to_have_text(re.compile(r"^[1-9]\d* new lines"))


@pytest.mark.long
def test_the_search_shows_only_matches_and_the_lines_around_them(shop: Shop, seen: Visit) -> None:
    page = seen.page
    for word in ("alpha", "needle", "omega"):
        shop.get(f"/say/{word}")
    seen.wait_for_line("somebody said omega")
    page.locator("[role=log]").focus()
    page.keyboard.press("/")
    page.keyboard.type("said needle")
    shown = page.get_by_label("Lines around matches")
    shown.select_option("Only matches")
    expect(rows_with(seen, "somebody said")).to_have_count(1)
    shown.select_option("Matches ± 2 lines")
    expect(rows_with(seen, "somebody said alpha")).to_have_count(1)
    expect(rows_with(seen, "KeyError")).to_have_count(0)
    shown.select_option("All lines")
    expect(rows_with(seen, "somebody said omega")).to_have_count(1)
