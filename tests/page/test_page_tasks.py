"""Ten tasks of somebody who has only the page, one after the other, with seconds and clicks (docs/page.md)."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from page_kit import PATIENCE_MS, Running, Visit, visit
from playwright.sync_api import Browser, expect

# The issue's: each task is done within a minute.
MOST_S = 60
NIGHT_MS = 24 * 3_600_000
APP = """\
import os

from fastapi import FastAPI
from pydantic import BaseModel, Field

SHOP = os.environ["SHOP_NAME"]
PRICES = {"tea": 3}
app = FastAPI(title="Till")


class Order(BaseModel):
    item: str = Field(min_length=2)
    copies: int = Field(ge=1)


@app.post("/orders", status_code=201)
def order(order: Order):
    return order


@app.get("/prices/{item}")
def price(item: str):
    print("somebody asks for", item, flush=True)
    return {"shop": SHOP, "price": PRICES[item]}
"""
FILES = {"main.py": APP, "requirements.txt": "fastapi\nuvicorn\n"}
# What a person does with a pointer, and how often they begin to type.
_COUNT = """() => {
    window.acts = 0;
    let typing = null;
    addEventListener("click", (event) => { if (event.detail > 0) window.acts += 1; typing = null; }, true);
    addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.ctrlKey || typing !== event.target) window.acts += 1;
        typing = event.target;
    }, true);
}"""


class Tasks:
    """The tasks so far: seconds and acts (clicks, and fields that were typed into)."""

    def __init__(self, seen: Visit) -> None:
        self.rows: list[tuple[str, float, int]] = []
        self._seen = seen

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        acts: int = self._seen.page.evaluate("() => window.acts")
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        self.rows.append((name, round(took, 1), self._seen.page.evaluate("() => window.acts") - acts))
        if folder := os.environ.get("PREVIEW_TEST_PICTURES"):
            self._seen.page.screenshot(path=f"{folder}/task-{len(self.rows):02}.png")


@pytest.mark.long
def test_each_of_ten_tasks_takes_less_than_a_minute(running: Running, browser: Browser) -> None:
    with visit(browser) as seen, running.api("tasks-user") as api:
        page = seen.page
        page.set_default_timeout(PATIENCE_MS)
        seen.sign_in(running, "tasks-user")
        page.evaluate(_COUNT)
        tasks = Tasks(seen)
        with tasks.task("first launch"):
            seen.drop_zip("till", FILES)
            seen.launch()
        with tasks.task("set a missing variable"):
            seen.show_pane("Settings")
            page.get_by_role("button", name="Set it: SHOP_NAME").click()
            page.get_by_label("Value").press_sequentially("Corner")
            page.keyboard.press("Enter")
            page.get_by_role("button", name="Restart to apply").click()
            page.get_by_text("The preview runs with the saved settings.").wait_for()
        with tasks.task("send a valid POST"):
            seen.show_pane("Requests")
            seen.pick("POST", "/orders")
            seen.send()
            seen.wait_for_answer("201 Created")
        with tasks.task("find why a request failed"):
            seen.pick("GET", "/prices/{item}")
            page.get_by_label("Path: item").press_sequentially("milk")
            seen.send()
            seen.wait_for_answer("500")
            page.get_by_role("button", name="Why?").click()
            page.get_by_role("heading", name="KeyError").wait_for()
            expect(page.get_by_role("region", name="Frames")).to_contain_text("PRICES[item]")
            # The pane scrolls; the page itself does not.
            assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        with tasks.task("fix it in the editor"):
            page.get_by_role("button", name=re.compile(r"main\.py:\d+")).first.click()
            page.locator(".cm-activeLine").get_by_text("PRICES[item]").wait_for()
            page.keyboard.press("End")
            for _ in "[item]}":
                page.keyboard.press("Backspace")
            page.keyboard.type(".get(item)}")
            page.keyboard.press("Control+s")
            page.get_by_text(re.compile(r"Saved, reloaded in")).wait_for()
            expect(page.locator(".cm-activeLine")).to_be_in_viewport(ratio=0.5)
        with tasks.task("roll back"):
            seen.show_pane("History")
            page.get_by_role("button", name="Roll back").first.click()
            page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
            page.get_by_text("Rolled back to version 1, and reloaded.").wait_for()
        with tasks.task("share read-only"):
            page.get_by_role("button", name="Share", exact=True).click()
            page.get_by_role("radio", name="read-only").check()
            page.get_by_role("button", name="New link").click()
            page.get_by_label("Share link").first.wait_for()
        page.keyboard.press("Escape")
        generation = api.get("/api/v1/generations").json()["generations"][0]["id"]
        api.delete(f"/api/v1/generations/{generation}/preview").raise_for_status()
        seen.wait_for_state("Stopped")
        _make_it_last_night(running, generation)
        seen.launch()
        with tasks.task("find last night's log"):
            page.get_by_role("button", name="View and clear").click()
            page.get_by_role("menuitem", name="Logs of earlier launches").click()
            launches = page.get_by_role("tabpanel", name="Launches")
            launches.get_by_role("listitem").filter(has_text="yesterday").get_by_role("button", name="Open").click()
            log = page.get_by_role("tabpanel", name="Log")
            log.get_by_role("button", name="Search (Ctrl+F)").click()
            log.get_by_role("textbox", name="Search the log").press_sequentially("milk")
            log.get_by_text("3 lines", exact=True).wait_for()
            page.keyboard.press("Enter")
            log.get_by_text("somebody asks for").first.wait_for()
        with tasks.task("compare two launches"):
            page.get_by_role("button", name="Launches").click()
            for box in page.get_by_role("checkbox", name="Compare the launch").all():
                box.check()
            page.get_by_role("button", name="Compare two").click()
            page.get_by_role("rowheader", name="Health check").wait_for()
        with tasks.task("free a limit"):
            seen.drop_zip("second", FILES)
            page.get_by_role("button", name="Launch", exact=True).click()
            page.get_by_role("button", name="Stop “till”, launch this").click()
            expect(page.get_by_label("Preview", exact=True)).to_contain_text("Running", timeout=PATIENCE_MS)
        if target := os.environ.get("PREVIEW_TEST_TASKS"):
            Path(target).write_text(json.dumps(tasks.rows))
        assert len(tasks.rows) == 10
        # Where more wants to run than there are processors, a task is also the time that it waited for one.
        most_s = MOST_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        assert [row for row in tasks.rows if row[1] >= most_s] == []
        assert seen.violations == []


def _make_it_last_night(running: Running, generation: str) -> None:
    """Move the launch so far a day back, in the service's database."""
    (file,) = (running.folder / "data").glob("*.db")
    with sqlite3.connect(file, timeout=30) as database:
        moved = database.execute(
            "UPDATE preview_instances SET created_at = created_at - ?1, started_at = started_at - ?1,"
            " stopped_at = stopped_at - ?1 WHERE generation_id = ?2",
            (NIGHT_MS, generation),
        )
        assert moved.rowcount == 1
