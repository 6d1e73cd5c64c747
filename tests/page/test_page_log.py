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
from fastapi import FastAPI

from shop import find_price

app = FastAPI()


@app.get("/price/{name}")
def price(name: str):
    return find_price(name)


@app.get("/say/{word}")
def say(word: str):
    print(f"somebody said {word}", flush=True)
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
