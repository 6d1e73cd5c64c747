"""History on the page: versions to roll back to, launches with their logs, and a replacement that asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from page_kit import Running, visit
from playwright.sync_api import Browser, Page
from test_page_quality import serious

APP = """\
def app(environ, start_response):
    print("version NAME answers", flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"NAME"]
"""
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
FILES = {"main.py": APP.replace("NAME", "one"), "preview.toml": START, "notes.txt": "x\n"}


@pytest.mark.long
@pytest.mark.parametrize(("scheme", "width"), [pytest.param("light", 1280, marks=pytest.mark.long), ("dark", 390)])
def test_a_person_rolls_back_and_reads_an_earlier_log(
    running: Running, browser: Browser, scheme: str, width: int
) -> None:
    user = f"history-{scheme}"
    with visit(browser, scheme=scheme, width=width) as seen, running.api(user) as api:
        page = seen.page
        seen.sign_in(running, user)
        seen.drop_zip("told", FILES)
        generation = api.get("/api/v1/generations").json()["generations"][0]["id"]
        seen.launch()
        files = f"/api/v1/generations/{generation}/files"
        for name in ("two", "three"):
            api.patch(files, json={"files": {"main.py": APP.replace("NAME", name)}}).raise_for_status()
        seen.show_pane("History")
        page.get_by_role("button", name="Version 2", exact=True).click()
        page.get_by_text('+    print("version two answers", flush=True)').wait_for()
        _look(page, f"versions-{scheme}-{width}")
        assert serious(seen) == []
        page.get_by_role("button", name="Roll back").first.click()
        page.get_by_role("dialog", name="Roll back to version 2?").get_by_role("button", name="Roll back").click()
        page.get_by_text("Rolled back to version 2, and reloaded.").wait_for()
        page.get_by_role("button", name="Undo").click()
        page.get_by_text("Rolled back to version 3, and reloaded.").wait_for()
        api.delete(f"/api/v1/generations/{generation}/preview").raise_for_status()
        api.post(f"/api/v1/generations/{generation}/preview/launch", json={}).raise_for_status()
        page.get_by_role("tab", name="Launches").click()
        page.get_by_text("2 launches").wait_for()
        for box in page.get_by_role("checkbox", name="Compare the launch").all():
            box.check()
        _look(page, f"launches-{scheme}-{width}")
        assert serious(seen) == []
        page.get_by_role("button", name="Compare two").click()
        page.get_by_role("rowheader", name="Health check").wait_for()
        _look(page, f"compare-{scheme}-{width}")
        assert serious(seen) == []
        page.get_by_role("button", name="Launches").click()
        page.get_by_role("button", name="Open", exact=True).last.click()
        page.get_by_role("tabpanel", name="Log").get_by_text("reloaded in").first.wait_for()
        assert serious(seen) == []
        page.get_by_text("Stopped, today").wait_for()
        parts = page.get_by_role("tablist", name="Launch", exact=True)
        for tab, shown in (("Requests", "No request was"), ("Failures", "Nothing failed"), ("Metrics", "at the end")):
            parts.get_by_role("tab", name=tab).click()
            page.get_by_role("tabpanel", name=tab).get_by_text(shown).first.wait_for()
            assert serious(seen) == [], tab
        # The address shows the same to anyone who opens it.
        assert "launch=preview_" in page.url
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert seen.violations == []


@pytest.mark.long
def test_a_replacement_that_removes_files_asks_and_can_be_undone(
    running: Running, browser: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "told"
    folder.mkdir()
    (folder / "main.py").write_text(APP.replace("NAME", "new"))
    (folder / "preview.toml").write_text(START)
    with visit(browser) as seen, running.api("replace-user") as api:
        page = seen.page
        seen.sign_in(running, "replace-user")
        seen.drop_zip("told", FILES)
        generation = api.get("/api/v1/generations").json()["generations"][0]["id"]
        seen.launch()
        page.get_by_label("The changed folder").set_input_files(folder)
        question = page.get_by_role("alertdialog", name="Remove 1 file from told?")
        question.get_by_text("notes.txt").wait_for()
        assert serious(seen) == []
        question.get_by_role("button", name="Cancel").click()
        path = f"/api/v1/generations/{generation}"
        assert api.get(path).json()["version"] == 1
        page.get_by_label("The changed folder").set_input_files(folder)
        question.get_by_role("button", name="Replace files").click()
        page.get_by_text("told: files replaced (1 changed, 1 removed).").wait_for()
        assert api.get(path).json()["file_count"] == 2
        with page.expect_response(lambda answer: answer.url.endswith("/versions/1/restore")) as undone:
            page.get_by_role("button", name="Undo").click()
        assert undone.value.ok
        assert api.get(path).json()["file_count"] == 3
        assert seen.violations == []


def _look(page: Page, name: str) -> None:
    folder = os.environ.get("PREVIEW_TEST_PICTURES")
    if folder:
        page.screenshot(path=f"{folder}/{name}.png")
