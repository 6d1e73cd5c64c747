"""Requests, failures, tests and alerts beside the log: with made-up answers, and one story with a real service."""

from __future__ import annotations

import re

import pytest
from page_kit import Running, Visit, responsive, visit, watch_tasks
from playwright.sync_api import Browser, expect
from test_page_quality import serious
from understand_kit import HOSTILE, MadeUpProject, failure, record, rule

SHOP = """
from fastapi import FastAPI

app = FastAPI()
BOOKS = {1: {"title": "Emma"}}


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/books/{book_id}")
def get_book(book_id: int):
    print(f"looking for book {book_id}", flush=True)
    return BOOKS[book_id]
"""
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}


def pane(seen: Visit, name: str) -> None:
    seen.page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.long
def test_hostile_records_and_failures_neither_act_on_the_page_nor_stop_it(running: Running, browser: Browser) -> None:
    """Answers with as many rows as the service gives, and with texts of a stranger in each field."""
    data = MadeUpProject()
    data.records = [record(n, target=f"/{HOSTILE * 40}{n}", method=HOSTILE) for n in range(500, 0, -1)]
    data.failures = [failure(n, id=f"f{n}", message=HOSTILE * 60) for n in range(1_000)]
    data.rules = [rule(n, id=f"alert_{n}", name=HOSTILE, summary=HOSTILE * 200) for n in range(500)]
    with visit(browser) as seen:
        page = seen.page
        page.on("dialog", lambda one: seen.violations.append(one.message))
        data.open(seen, running, "hostile-user")
        watch_tasks(seen)
        with responsive(seen, "many records"):
            page.get_by_role("tab", name="Recorded").click()
            page.get_by_text("500 requests").wait_for()
        # Only those in sight are in the page.
        rows = page.get_by_role("region", name="Recorded requests").get_by_role("listitem")
        rows.first.wait_for()
        assert rows.count() < 60
        with responsive(seen, "many failures"):
            pane(seen, "Failures")
            page.get_by_text("KeyError").first.wait_for()
        page.get_by_role("button", name=re.compile("KeyError")).first.click()
        page.get_by_text("as it was then").wait_for()
        pane(seen, "Alerts")
        page.get_by_text("webhook: failed").wait_for()
        assert "\\u202e" in page.get_by_role("region", name="Alerts", exact=True).inner_text()
        assert seen.violations == []


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "width"), [("light", 360), pytest.param("dark", 1280, marks=pytest.mark.long)])
def test_axe_finds_nothing_serious_and_nothing_is_too_wide(
    running: Running, browser: Browser, scheme: str, width: int
) -> None:
    with visit(browser, scheme=scheme, width=width) as seen:
        page = seen.page

        def check() -> None:
            assert serious(seen) == []
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width

        MadeUpProject().open(seen, running, "axe-user")
        pane(seen, "Requests")
        page.get_by_role("tab", name="Recorded").click()
        field = page.get_by_role("textbox", name="Filter the requests")
        field.fill("status:>=500 -path:/health")
        field.press("Enter")
        page.get_by_role("button", name="status:>=500", exact=True).click()
        field.fill("colour:red")
        field.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("did you mean")
        check()
        page.get_by_role("button", name=re.compile("books.38")).click()
        page.get_by_role("button", name="Replay").click()
        page.get_by_role("region", name="Replay").wait_for()
        check()
        page.get_by_role("tab", name="Compare").click()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.get_by_text("1 broke").wait_for()
        check()
        pane(seen, "Failures")
        page.get_by_role("button", name=re.compile("KeyError")).click()
        page.get_by_text("as it was then").wait_for()
        check()
        pane(seen, "Tests")
        page.get_by_role("button", name=re.compile("division by zero")).click()
        check()
        page.get_by_role("tab", name="Checks").click()
        page.get_by_role("button", name="Run now").click()
        page.get_by_text("1 broke since reload 2").wait_for()
        check()
        pane(seen, "Alerts")
        page.get_by_role("button", name=re.compile("Silence")).click()
        page.get_by_role("button", name="Delete…").click()
        check()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Edit…").click()
        page.get_by_role("button", name="Try it on this preview").click()
        page.get_by_text("would have matched").wait_for()
        check()


@pytest.mark.long
def test_a_failed_request_its_failure_the_fix_and_the_replay(running: Running, browser: Browser) -> None:
    """The story with a real service: nothing is made up."""
    with visit(browser) as seen:
        page = seen.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=running.url)
        seen.sign_in(running, "story-user")
        seen.drop_zip("bookshop", FILES)
        seen.launch()
        seen.pick("GET", "/books/{book_id}")
        page.get_by_label("Path: book_id").fill("7")
        seen.send()
        seen.wait_for_answer("500")
        pane(seen, "Failures")
        page.get_by_role("button", name=re.compile("KeyError")).click()
        source = page.get_by_role("region", name="Source")
        expect(source.locator("[aria-current=true]")).to_contain_text("return BOOKS[book_id]")
        # The traceback leads to its line in the editor.
        page.get_by_role("region", name="Frames").get_by_role("button", name=re.compile("main.py")).first.click()
        expect(page.locator(".cm-activeLine")).to_contain_text("return BOOKS[book_id]")
        pane(seen, "Failures")
        page.get_by_role("button", name="Copy for an agent").click()
        page.get_by_text("as text for an agent").wait_for()
        copied: str = page.evaluate("() => navigator.clipboard.readText()")
        for part in ("KeyError", "return BOOKS[book_id]", "GET /books/7", "looking for book 7"):
            assert part in copied
        page.get_by_role("button", name="Show the request").click()
        expect(page.get_by_role("heading", name="GET /books/7")).to_be_visible()
        said = page.get_by_role("region", name="Log lines")
        said.get_by_role("button", name=re.compile("log lines$")).click()
        expect(said).to_contain_text("looking for book 7")
        page.get_by_role("combobox", name="Copy as").select_option("curl")
        page.get_by_text("Copied as curl.").wait_for()
        copied = page.evaluate("() => navigator.clipboard.readText()")
        assert copied.startswith("curl ")
        assert "/books/7" in copied

        fixed = FILES | {"main.py": SHOP.replace("BOOKS[book_id]", "BOOKS.get(book_id)")}
        with running.api("story-user") as api:
            (made,) = api.get("/api/v1/generations").json()["generations"]
            assert api.put(f"/api/v1/generations/{made['id']}/files", json={"files": fixed}).status_code == 200
        page.get_by_role("button", name="Replay").click()
        replayed = page.get_by_role("region", name="Replay")
        expect(replayed).to_contain_text("500 in")
        expect(replayed).to_contain_text("200 in")
        # The failure has the same button.
        pane(seen, "Failures")
        expect(replayed).to_have_count(0)
        page.get_by_role("button", name="Replay").click()
        expect(replayed).to_contain_text("500 in")
        expect(replayed).to_contain_text("200 in")

        page.get_by_role("button", name="Filter by level and source").click()
        field = page.get_by_role("textbox", name="Filter the log")
        field.fill('"looking for"')
        field.press("Enter")
        page.get_by_role("button", name='"looking for"', exact=True).wait_for()
        seen.wait_for_line("looking for book 7")
        page.wait_for_function("() => !document.querySelector('[data-log-rows]').textContent.includes('Uvicorn')")
        page.reload()
        page.get_by_role("button", name='"looking for"', exact=True).wait_for()
        seen.wait_for_line("looking for book 7")
        assert not seen.violations
