"""Alerts with a real service, on a small screen: what fired is shown at once, and leads to its request."""

from __future__ import annotations

import re

import pytest
from page_kit import Running, visit
from playwright.sync_api import Browser, expect
from test_page_quality import serious

SHOP = """
from fastapi import FastAPI

app = FastAPI()


@app.get("/books/{book_id}")
def get_book(book_id: int):
    # Before the response: the traceback comes after it, on a busy machine too late to be counted to the request.
    print(f"GET /books/{book_id}", flush=True)
    return {1: "Emma"}[book_id]
"""
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}
MARK = re.compile("^Alert: .*status:>=500")
SAID = re.compile("/books/7|KeyError")
FAILS = {"kind": "matches", "filter": "status:>=500", "on": "requests", "count": 1, "within_s": 60}


@pytest.mark.long
def test_a_firing_comes_by_itself_and_leads_to_its_request_which_a_reload_keeps(
    running: Running, browser: Browser
) -> None:
    with visit(browser, width=390, height=844) as seen, running.api("alert-user") as api:
        page = seen.page
        made = api.post("/api/v1/generations", json={"name": "bookshop", "files": FILES}).json()
        path = f"/api/v1/generations/{made['id']}/preview"
        scope = {"generation_id": made["id"]}
        assert api.post("/api/v1/alerts", json={"condition": FAILS, "scope": scope}).status_code == 201
        launched = api.post(f"{path}/launch", json={}, headers={"Prefer": "wait=80"}).json()
        seen.sign_in(running, "alert-user")
        seen.wait_for_state("Running")
        seen.show_pane("Alerts")
        page.get_by_text("Nothing has fired yet.").wait_for()
        token = {"X-Preview-Token": launched["session_token"]}
        call = {"method": "GET", "path": "/books/7"}
        assert api.post(f"{path}/request", json=call, headers=token).json()["status_code"] == 500
        fired = page.get_by_role("region", name="Alerts fired for this preview").get_by_role("listitem")
        # Nobody has pressed Refresh. A rule without a name has its condition, and it is said once.
        expect(fired).to_have_count(1)
        expect(fired).to_contain_text("(GET /books/7 500)")
        assert fired.inner_text().count("status:>=500") == 1
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        assert serious(seen) == []
        fired.get_by_role("button", name="Request").click()
        expect(page.get_by_role("heading", name="GET /books/7")).to_be_visible()
        # The address has it: on a small screen too.
        page.reload()
        expect(page.get_by_role("heading", name="GET /books/7")).to_be_visible()
        page.get_by_role("button", name="Recorded", exact=True).click()
        expect(page.get_by_role("region", name="Recorded requests").get_by_role("listitem")).to_have_count(1)
        page.reload()
        expect(page.get_by_role("region", name="Recorded requests").get_by_role("listitem")).to_have_count(1)
        seen.show_pane("Log")
        seen.wait_for_line('alert "')
        assert not seen.sees('alert ""')
        # The lines of the request that fired have a mark, as lines with comments have. A folded traceback has it too.
        marked = page.locator("[data-log-rows] [data-seq]").filter(has=page.get_by_role("img", name=MARK))
        expect(marked.first).to_contain_text(SAID)
        assert serious(seen) == []
        page.reload()
        seen.wait_for_line('alert "')
        expect(marked.first).to_contain_text(SAID)
        assert not seen.violations
