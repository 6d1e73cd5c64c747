"""Requests in and out of Recorded, and replays of several, with a real service and a real browser."""

from __future__ import annotations

import json
import re

import pytest
from page_kit import Running, Visit, visit
from playwright.sync_api import Browser, Locator, expect
from test_page_quality import serious
from test_page_understand import pane

SHOP = """
from fastapi import FastAPI, Request

app = FastAPI()
BOOKS = {1: "Emma", 2: "Persuasion"}


@app.get("/health")
def health():
    return {"status": "ok"}


@app.get("/books/{book_id}")
def get_book(book_id: int, price: int = 5):
    return {"id": book_id, "title": BOOKS[book_id], "price": price}


@app.post("/books", status_code=201)
async def add_book(request: Request):
    book = await request.json()
    BOOKS[len(BOOKS) + 1] = book["title"]
    return {"id": len(BOOKS), "title": book["title"]}
"""
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}
CHANGED = FILES | {"main.py": SHOP.replace('"price": price}', '"price": price + 1}')}
CURL = (
    """curl -X POST http://shop.test/books -H 'Content-Type: application/json' --data-raw '{"title": "Emma, again"}'"""
)


def change_files(running: Running, user: str, files: dict[str, str]) -> None:
    """Change files of the user's only project; its preview reloads."""
    with running.api(user) as api:
        (made,) = api.get("/api/v1/generations").json()["generations"]
        assert api.patch(f"/api/v1/generations/{made['id']}/files", json={"files": files}).status_code == 200


def rows(seen: Visit) -> Locator:
    return seen.page.get_by_role("region", name="Recorded requests").get_by_role("listitem")


@pytest.mark.long
def test_requests_come_in_go_out_and_are_replayed_by_keyboard(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "replay-user")
        seen.drop_zip("bookshop", FILES)
        seen.launch()
        # A pasted command becomes a request that can be sent.
        pane(seen, "Requests")
        page.get_by_role("tab", name="Recorded").click()
        page.get_by_role("button", name="Paste a curl command").click()
        page.get_by_role("dialog").get_by_role("textbox").fill(CURL)
        page.get_by_role("dialog").get_by_role("button", name="Import", exact=True).click()
        seen.send()
        seen.wait_for_answer("201 Created")
        seen.pick("GET", "/books/{book_id}")
        page.get_by_label("Path: book_id").fill("1")
        seen.send()
        seen.wait_for_answer("200 OK")
        page.get_by_role("tab", name="Recorded").click()
        expect(rows(seen)).to_have_count(2)

        # Pinned: it says so in the list.
        page.get_by_role("button", name=re.compile("books.1")).click()
        page.get_by_role("button", name="Pin: never delete it").click()
        page.get_by_role("button", name="Unpin").wait_for()
        page.get_by_role("button", name="Recorded", exact=True).click()
        expect(rows(seen).filter(has_text="/books/1")).to_contain_text("pinned")

        # Out as a HAR file, and in again.
        with page.expect_download() as download:
            page.get_by_role("button", name="Export HAR").click()
        har = json.loads(download.value.path().read_text())
        assert [one["request"]["method"] for one in har["log"]["entries"]] == ["POST", "GET"]
        page.get_by_label("HAR file").set_input_files(download.value.path())
        page.get_by_text("2 requests imported.").wait_for()
        expect(rows(seen)).to_have_count(4)

        # Both of the first are selected by keyboard, and sent again to other code.
        change_files(running, "replay-user", CHANGED)
        seen.wait_for_state("Running")
        page.get_by_role("checkbox", name=re.compile(r"^Select request 2,")).focus()
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowDown")
        expect(page.get_by_role("group", name="Selected requests")).to_contain_text("2 selected")
        assert serious(seen) == []
        page.get_by_role("button", name="Replay selected").click()
        replayed = page.get_by_role("region", name="Replay")
        expect(replayed).to_contain_text("on a copy of the preview", timeout=60_000)
        expect(replayed).to_contain_text("1 changed")
        row = replayed.get_by_role("row", name=re.compile(r"\$\.price"))
        expect(row).to_contain_text("5")
        expect(row).to_contain_text("6")
        assert serious(seen) == []
        page.keyboard.press("Enter")
        # Each row says how its replay went.
        expect(rows(seen).filter(has_text="/books/1").filter(has_text="changed")).to_have_count(1)
        assert not seen.violations


@pytest.mark.long
def test_two_versions_are_compared(running: Running, browser: Browser) -> None:
    """One endpoint has changed, another one answers the same."""
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "compare-user")
        seen.drop_zip("bookshop", FILES)
        seen.launch()
        for book in ("1", "2"):
            seen.pick("GET", "/books/{book_id}")
            page.get_by_label("Path: book_id").fill(book)
            seen.send()
            seen.wait_for_answer("200 OK")
        seen.pick("GET", "/health")
        seen.send()
        seen.wait_for_answer("200 OK")
        change_files(running, "compare-user", CHANGED)
        page.get_by_role("tab", name="Compare").click()
        expect(page.get_by_label("First version").get_by_role("option", name=re.compile("version 1"))).to_be_attached()
        page.get_by_label("First version").select_option("version 1")
        page.get_by_role("button", name="Compare", exact=True).click()
        result = page.get_by_role("region", name="Result of the comparison")
        expect(result.get_by_role("status").first).to_contain_text("1 changed", timeout=90_000)
        expect(result.get_by_role("button", name=re.compile("same.*GET .health"))).to_be_visible()
        expect(result.get_by_role("row", name=re.compile(r"\$\.price")).first).to_contain_text("6")
        assert not seen.violations


VOLATILE = """
import secrets
import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/session")
def session():
    user = {"id": secrets.randbelow(10**9), "role": "reader"}
    return {"token": secrets.token_hex(16), "at": time.time(), "user": user}


@app.get("/books")
def books():
    return {"items": [{"title": "Emma", "price": 5}], "served_by": secrets.token_hex(4)}
"""


@pytest.mark.long
def test_two_generations_of_a_project_are_compared_and_only_the_real_change_is_shown(
    running: Running, browser: Browser
) -> None:
    """Tokens, times and ids differ in each answer; one price differs between the generations."""
    with visit(browser) as seen, running.api("generations-user") as api:
        page = seen.page
        made: list[dict[str, str]] = []
        for source in (VOLATILE, VOLATILE.replace('"price": 5', '"price": 6')):
            files = FILES | {"main.py": source}
            project = {"project_id": made[0]["project_id"]} if made else {}
            answer = api.post("/api/v1/generations", json={"name": f"shop {len(made)}", "files": files, **project})
            made.append(answer.json())
        assert made[0]["project_id"] == made[1]["project_id"]
        path = f"/api/v1/generations/{made[0]['id']}/preview"
        launched = api.post(f"{path}/launch", json={}, headers={"Prefer": "wait=80"}).json()
        token = {"X-Preview-Token": launched["session_token"]}
        for asked in ("/session", "/books"):
            sent = api.post(f"{path}/request", json={"method": "GET", "path": asked}, headers=token)
            assert sent.json()["status_code"] == 200
        seen.sign_in(running, "generations-user")
        page.goto(f"{running.url}/#/{made[0]['id']}?tab=compare")
        # Its recorded requests go to the other generation.
        second = page.get_by_label("Second version")
        expect(second.locator("option:checked")).to_have_text(re.compile("^shop 1"))
        page.get_by_label("First version").select_option(second.input_value())
        second.select_option("now")
        page.get_by_role("button", name="Compare", exact=True).click()
        expect(page.get_by_role("alert").filter(has_text="was never launched")).to_be_visible()
        page.get_by_label("First version").select_option("now")
        second.select_option(made[1]["id"])
        page.get_by_role("button", name="Compare", exact=True).click()
        result = page.get_by_role("region", name="Result of the comparison")
        expect(result.get_by_role("status").first).to_contain_text("1 changed", timeout=90_000)
        changes = result.get_by_role("row", name=re.compile(r"\$\."))
        expect(changes).to_have_count(1)
        expect(changes).to_contain_text("price")
        expect(result.get_by_role("button", name=re.compile("(same|noisy).*GET .session"))).to_be_visible()
        assert not seen.violations
