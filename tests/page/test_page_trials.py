"""A probe as it runs, its way to a failure, and the mark of the checks: with a real service and a real browser."""

from __future__ import annotations

import re

import pytest
from page_kit import PATIENCE_MS, Running, visit
from playwright.sync_api import Browser, expect
from test_page_replay import change_files
from test_page_understand import pane

SHOP = """
from fastapi import FastAPI

app = FastAPI()
BOOKS = {1: {"title": "Emma"}}


@app.get("/stock")
def stock():
    return {"books": 1}


@app.get("/books/{book_id}")
def get_book(book_id: int):
    return BOOKS[book_id]
"""
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}


@pytest.mark.long
def test_a_probe_is_followed_to_its_failure_and_a_broken_check_is_marked(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "trials-user")
        seen.drop_zip("bookshop", FILES)
        seen.launch()
        seen.pick("GET", "/stock")
        seen.send()
        seen.wait_for_answer("200 OK")
        page.get_by_role("tab", name="Recorded").click()
        page.get_by_role("button", name=re.compile("stock")).click()
        page.get_by_role("button", name="Save as check").click()
        page.get_by_text("Saved as a check").wait_for()

        pane(seen, "Tests")
        page.get_by_label("Time for the probe").select_option("10")
        page.get_by_role("button", name="Probe", exact=True).click()
        page.get_by_role("progressbar", name="Progress of the probe").wait_for(timeout=PATIENCE_MS)
        # Its progress is shown while it runs.
        page.get_by_text(re.compile(r"[1-9]\d* requests so far")).wait_for(timeout=PATIENCE_MS)
        finding = page.get_by_role("button", name=re.compile("server error.*KeyError"))
        finding.first.wait_for(timeout=PATIENCE_MS)
        page.get_by_role("button", name="Probe again").wait_for(timeout=PATIENCE_MS)
        finding.first.click()
        page.get_by_role("button", name="Failure", exact=True).first.click()
        expect(page.get_by_role("region", name="Source").locator("[aria-current=true]")).to_contain_text(
            "return BOOKS[book_id]"
        )

        # The preview of the owner had no such error; its check breaks with the next version.
        change_files(running, "trials-user", FILES | {"main.py": SHOP.replace('{"books": 1}', '{"books": 2}')})
        expect(page.get_by_label("Preview", exact=True)).to_contain_text("1 broke", timeout=PATIENCE_MS)
        assert not seen.violations
