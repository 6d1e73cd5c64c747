"""The panel "Data" with made-up answers: real ones would take three database servers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from data_kit import MadeUpData
from page_kit import Running, Visit, responsive, visit, watch_tasks
from playwright.sync_api import Browser, expect
from test_page_quality import serious


def open_panel(seen: Visit, running: Running, data: MadeUpData) -> None:
    data.open(seen, running, "data-user")
    seen.show_pane("Data")


@pytest.mark.long
def test_a_hostile_database_neither_acts_on_the_page_nor_stops_it(running: Running, browser: Browser) -> None:
    """Answers with as many tables, columns, rows and files as a stranger can make."""
    columns = [{"name": f"<b>c{number}</b>\u202e", "type": "<script>"} for number in range(1_600)]
    data = MadeUpData()
    data.databases[0]["tables"] = [{"name": f"t{n}", "rows": n, "size_bytes": None} for n in range(4_000)]
    data.rows = {"columns": columns, "rows": [["<img src=x onerror=alert(1)>"] * 1_600] * 50}
    changed = [{"change": "changed", "before": {f"c{n}": "a" for n in range(1_600)}, "after": {"__proto__": "b"}}] * 9
    tables: list[dict[str, Any]] = [
        {"name": f"t{n}", "added": 1, "changed": 0, "removed": 0, "samples": changed, "note": None} for n in range(60)
    ]
    files = [{"path": f"{n}\u202e", "change": "added", "size_before": None, "size_after": n} for n in range(4_000)]
    data.diff = {"files": files, "databases": [{"name": "<i>", "tables": tables}], "is_cut": True}
    with visit(browser) as seen:
        page = seen.page
        page.on("dialog", lambda one: seen.violations.append(one.message))
        open_panel(seen, running, data)
        page.get_by_text("3,500 more tables").wait_for()
        watch_tasks(seen)
        with responsive(seen, "a wide table"):
            page.get_by_role("button", name="t7 7 rows").click()
            page.get_by_text("1,500 more columns").wait_for()
        assert "<b>c0</b>\\u202e" in page.get_by_role("table").inner_text()
        page.get_by_role("tab", name=re.compile("^Snapshots")).click()
        with responsive(seen, "many changes"):
            page.get_by_role("button", name="Compare before the change").click()
            page.get_by_text("And 3,800 more files.").wait_for()
        assert seen.violations == []


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 768), ("light", 1280)])
def test_axe_finds_nothing_serious_and_nothing_is_too_wide(
    running: Running, browser: Browser, scheme: str, width: int
) -> None:
    with visit(browser, scheme=scheme, width=width) as seen:
        page = seen.page

        def check() -> None:
            assert serious(seen) == []
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width

        open_panel(seen, running, MadeUpData())
        page.get_by_text("PostgreSQL 17.2").wait_for()
        check()
        page.get_by_role("button", name="public.books").click()
        page.get_by_role("button", name="A long").first.click()
        page.get_by_role("dialog", name="description, row 1").wait_for()
        check()
        page.keyboard.press("Escape")
        page.get_by_role("tab", name="SQL").click()
        page.get_by_label("SQL statement").fill("select * from bookz")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("alert")).to_contain_text("does not exist")
        page.get_by_label("SQL statement").fill("select * from books")
        page.keyboard.press("Control+Enter")
        page.get_by_text("40 rows in 12 ms").wait_for()
        check()
        page.get_by_role("tab", name=re.compile("^Snapshots")).click()
        page.get_by_role("button", name="Restore before the change").click()
        check()
        page.get_by_role("button", name="Restore", exact=True).click()
        page.get_by_text("To undo this").wait_for()
        check()
        page.get_by_role("button", name="Compare before the change").click()
        page.get_by_text("Dune").wait_for()
        check()


def test_snapshots_can_be_used_without_a_mouse(running: Running, browser: Browser) -> None:
    data = MadeUpData()
    with visit(browser) as seen:
        page = seen.page
        data.open(seen, running, "data-user")
        page.get_by_role("button", name="Data", exact=True).focus()
        page.keyboard.press("Enter")
        page.get_by_role("tab", name="Databases").focus()
        page.keyboard.press("End")
        page.get_by_label("Name of the snapshot").focus()
        page.keyboard.type("by hand")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Saved “by hand”.")).to_be_visible()
        restore = page.get_by_role("button", name="Restore by hand")
        restore.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Escape")
        expect(restore).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        # Asked again before the browser has told the page that the first question is closed.
        page.evaluate("""async () => {
            const named = (name) => [...document.querySelectorAll("button")].find((one) => one.ariaLabel === name)
            document.querySelector("dialog[open] button").click()
            for (let turn = 0; turn < 10; turn++) await null
            named("Restore by hand").click()
        }""")
        page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_text("To undo this").wait_for()
        page.get_by_role("button", name="Delete by hand").press("Enter")
        expect(page.get_by_role("button", name="Cancel")).to_be_focused()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(restore).to_have_count(0)
        # The next stop of the Tab key is in the list, not at the head of the page.
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.closest('[role=tabpanel]') !== null")
        assert [one for one in data.asked if one.startswith(("POST", "DELETE"))] == [
            "POST /preview/snapshots",
            "POST /preview/snapshots/snapshot_13/restore",
            "DELETE /preview/snapshots/snapshot_13",
        ]
