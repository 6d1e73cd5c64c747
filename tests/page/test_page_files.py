"""Files on the page: read, change, save and reload, conflicts, and from a traceback to its line."""

from __future__ import annotations

import re

import pytest
from page_kit import Running, Visit, visit
from playwright.sync_api import APIResponse, Browser, Page, Route, expect
from test_page_quality import serious

APP = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    return [b"one"]
"""
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
FILES = {"main.py": APP, "preview.toml": START, "docs/notes.md": "# Notes\n", "static/logo.txt": "x\n"}


def editor(page: Page) -> str:
    """The text in the editor, of the lines in sight."""
    return "\n".join(page.locator(".cm-line").all_inner_texts())


def open_files(seen: Visit, path: str | None = None) -> None:
    seen.page.get_by_role("button", name="Files", exact=True).click()
    tree = seen.page.get_by_role("tree", name="Files")
    tree.wait_for()
    if path is not None:
        seen.page.get_by_label("Search files").fill(path)
        tree.get_by_role("treeitem", name=path).click()
        seen.page.locator(".cm-content").wait_for()


@pytest.mark.long
def test_a_file_is_changed_by_keyboard_and_the_preview_reloaded(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "files-user")
        seen.drop_zip("edited", FILES)
        seen.launch()
        # The preview's own page, in another tab.
        with page.context.expect_page() as opened:
            page.get_by_role("button", name="Open", exact=True).click()
        tab = opened.value
        tab.get_by_text("one").wait_for()
        open_files(seen, "main.py")
        page.locator(".cm-content").focus()
        for line in ("Control+Home", "ArrowDown", "ArrowDown", "End", "Backspace", "Backspace"):
            page.keyboard.press(line)
        page.keyboard.type(' and two"]')
        page.get_by_text("not saved").wait_for()
        page.keyboard.press("Control+s")
        page.get_by_text(re.compile(r"Saved, reloaded in \d+\.\d\d s\.")).wait_for()
        # The open tab has loaded the new version by itself.
        tab.get_by_text("one and two").wait_for()
        # Tab is no trap: Escape, then Tab, leaves the editor.
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.shadowRoot === null")
        assert serious(seen) == []
        # A version that does not start is stored, and its reason shown in place.
        page.locator(".cm-content").focus()
        page.keyboard.press("Control+End")
        page.keyboard.type("raise RuntimeError('no')\n")
        page.keyboard.press("Control+s")
        page.get_by_text("The previous version is still running.").wait_for()
        assert seen.violations == []


@pytest.mark.long
def test_another_persons_change_is_not_overwritten_unasked(running: Running, browser: Browser) -> None:
    with visit(browser) as seen, running.api("files-user-2") as api:
        page = seen.page
        seen.sign_in(running, "files-user-2")
        seen.drop_zip("shared", FILES)
        generation = api.get("/api/v1/generations").json()["generations"][0]["id"]
        open_files(seen, "main.py")
        page.locator(".cm-content").press("Control+Home")
        page.keyboard.type("# mine\n")
        changed = api.patch(f"/api/v1/generations/{generation}/files", json={"files": {"main.py": "# theirs\n"}})
        assert changed.status_code == 200
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("Your text is still here.").wait_for()
        assert "# mine" in editor(page)
        page.get_by_role("button", name="Reload theirs").click()
        expect(page.locator(".cm-line").first).to_have_text("# theirs")
        # Made, renamed, deleted, and brought back.
        page.get_by_role("button", name="New file").click()
        page.get_by_label("Path").fill("../evil.py")
        page.get_by_role("button", name="Create").click()
        page.get_by_text("No part of the path may be").wait_for()
        page.get_by_label("Path").fill("app/new.py")
        page.get_by_role("button", name="Create").click()
        page.get_by_text("Created app/new.py.").wait_for()
        page.get_by_role("button", name="Rename").click()
        page.get_by_label("Path").fill("app/other.py")
        page.get_by_role("button", name="Rename", exact=True).last.click()
        page.get_by_role("heading", name="app/other.py").wait_for()
        page.get_by_role("button", name="Delete app/other.py").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
        page.get_by_text("Deleted app/other.py.").wait_for()
        paths = {one["path"] for one in api.get(f"/api/v1/generations/{generation}/files").json()["files"]}
        assert paths == set(FILES)
        page.get_by_role("button", name="Undo").click()
        page.get_by_text("Restored app/other.py.").wait_for()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download the project").click()
        assert download.value.suggested_filename == "shared.zip"
        assert seen.violations == []


def test_a_late_answer_to_an_upload_leaves_the_view_as_it_is(running: Running, browser: Browser) -> None:
    """The project's event may come before the answer; a person has opened something of it by then."""
    held: list[tuple[Route, APIResponse]] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append((route, route.fetch()))
        else:
            route.continue_()

    with visit(browser) as seen:
        seen.sign_in(running, "files-user-4")
        seen.page.route("**/api/v1/generations", hold)
        seen.drop_zip("early", FILES)
        open_files(seen, "main.py")
        [(route, answer)] = held
        with seen.page.expect_response(lambda one: one.request.method == "GET" and "/previews" in one.url):
            route.fulfill(response=answer)
        expect(seen.page.get_by_role("button", name="Zip")).to_be_enabled()
        expect(seen.page.locator(".cm-content")).to_be_visible()
        assert "show=files" in seen.page.url


def test_files_of_a_stranger_neither_act_nor_stop_the_page(running: Running, browser: Browser) -> None:
    """Names that act, a million characters in one line, content that is no text, and a line of the address."""
    files: dict[str, object] = {
        "main.py": APP,
        "preview.toml": START,
        "<img src=x onerror=alert(1)>.py": "x",
        "long.json": '["' + "x" * 900_000 + '"]',
        "big.txt": "y\n" * 600_000,
        "lines.py": "\n".join(f"line_{number} = {number}" for number in range(1, 20_001)),
        "logo.bin": {"base64": "AP8="},
        **{f"many/f{number}.txt": "" for number in range(1_500)},
    }
    with visit(browser) as seen, running.api("files-user-3") as api:
        page = seen.page
        page.on("dialog", lambda one: seen.violations.append(one.message))
        generation = api.post("/api/v1/generations", json={"name": "strange", "files": files}).json()["id"]
        seen.sign_in(running, "files-user-3")
        # The page shows the newest project without its address; a link into it has to lead there all the same.
        expect(page.get_by_role("heading", name="strange")).to_be_visible()
        page.goto(f"{running.url}/#/{generation}?show=files&file=lines.py&at=12345")
        expect(page.locator(".cm-activeLine")).to_have_text("line_12345 = 12345")
        page.get_by_role("treeitem", name="many").click()
        assert page.get_by_role("treeitem").count() <= 1_000
        for name, said in (("logo.bin", "not UTF-8 text"), ("big.txt", "too large to edit"), ("long.json", "xxx")):
            page.get_by_label("Search files").fill(name)
            page.get_by_role("treeitem", name=name).click()
            page.get_by_text(said).first.wait_for()
        page.get_by_label("Search files").fill("onerror")
        page.get_by_role("treeitem").first.click()
        expect(page.locator(".cm-line").first).to_have_text("x")
        assert seen.violations == []
