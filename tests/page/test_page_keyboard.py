"""The whole story without a mouse: sign in, choose files, launch, send, edit, stop."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_kit import FILES, PATIENCE_MS, Running, visit, zipped
from playwright.sync_api import Browser, Locator, Page, expect


def reach(page: Page, control: Locator) -> None:
    """Go to a control by Tab alone."""
    control.wait_for()
    for _ in range(80):
        if control.evaluate("one => document.activeElement === one"):
            return
        page.keyboard.press("Tab")
    expect(control).to_be_focused()


def press(page: Page, control: Locator) -> None:
    reach(page, control)
    page.keyboard.press("Enter")


@pytest.mark.long
def test_the_whole_story_by_keyboard(running: Running, browser: Browser, tmp_path: Path) -> None:
    chosen = tmp_path / "shop.zip"
    chosen.write_bytes(zipped(FILES))
    with visit(browser) as seen:
        page = seen.page
        page.goto(running.url)
        reach(page, page.get_by_label("Paste a token"))
        page.keyboard.insert_text(running.token("keys"))
        page.keyboard.press("Enter")
        page.get_by_role("region", name="Examples").wait_for()
        with page.expect_file_chooser() as asked:
            press(page, page.get_by_role("button", name="Zip", exact=True))
        asked.value.set_files(chosen)
        page.get_by_role("heading", name="shop", exact=True, level=2).wait_for()

        press(page, page.get_by_role("button", name=re.compile("^Launch")))
        seen.wait_for_state("Running")
        press(page, page.get_by_role("button", name="GET /health").first)
        press(page, page.get_by_role("button", name="Send"))
        expect(page.get_by_text(re.compile(r"^200")).first).to_be_visible(timeout=PATIENCE_MS)

        press(page, page.get_by_role("button", name="Files", exact=True))
        reach(page, page.get_by_label("Search files"))
        page.keyboard.insert_text("main.py")
        press(page, page.get_by_role("treeitem", name="main.py"))
        editor = page.locator(".cm-content")
        editor.wait_for()
        reach(page, editor)
        page.keyboard.press("Control+End")
        page.keyboard.insert_text("\n# by keyboard\n")
        page.keyboard.press("Control+s")
        expect(page.get_by_text(re.compile(r"^Saved[.,]")).first).to_be_visible(timeout=PATIENCE_MS)
        # Escape, then Tab, leaves the editor.
        page.keyboard.press("Escape")
        press(page, page.get_by_role("button", name="Stop", exact=True))
        seen.wait_for_state("Stopped")
