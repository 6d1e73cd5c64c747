"""The page's shell: an example with one click, commands, panes, the project's menu, small screens."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from page_kit import FILES, PATIENCE_MS, Running, Visit, visit
from playwright.sync_api import Browser, Locator, expect


def shoot(seen: Visit, name: str) -> None:
    if folder := os.environ.get("PREVIEW_TEST_SCREENSHOTS"):
        seen.page.screenshot(path=Path(folder) / f"{name}.png")


def test_the_first_minute_is_clean_and_needs_no_project(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "newcomer")
        failed: list[str] = []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)
        page.get_by_role("region", name="Examples").wait_for()
        shoot(seen, "shell-welcome")
        page.get_by_role("button", name=re.compile("^Hello")).click()
        page.get_by_role("heading", name="Hello", exact=True, level=2).wait_for()
        page.get_by_text("Nothing to show yet").wait_for()
        shoot(seen, "shell-new")
        seen.launch()
        expect(page.get_by_role("button", name="Share", exact=True)).to_be_enabled(timeout=PATIENCE_MS)
        shoot(seen, "shell-running")
        for width in (1280, 768):
            page.set_viewport_size({"width": width, "height": 800})
            size = page.get_by_label("Preview", exact=True).bounding_box()
            assert size is not None
            assert size["height"] <= 96, width
        page.set_viewport_size({"width": 1280, "height": 800})
        assert failed == []

        page.get_by_role("button", name="Share", exact=True).click()
        dialog = page.get_by_role("dialog", name="Share the preview")
        expect(dialog.get_by_role("option", name="in 1 day")).to_have_count(0)
        shoot(seen, "shell-share")
        page.keyboard.press("Escape")
        page.reload()
        page.get_by_role("button", name=re.compile("^Launched in")).click()
        expect(page.get_by_role("list", name="Steps of the launch")).to_be_visible()


def test_the_keyboard_reaches_commands_panes_and_the_splitter(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "keyboard")
        seen.drop_zip("shop", FILES)
        page.keyboard.press("Control+k")
        commands = page.get_by_role("combobox", name=re.compile("^Find a project"))
        commands.fill("fils")
        shoot(seen, "shell-palette")
        page.keyboard.press("Enter")
        files = page.get_by_role("button", name="Files", exact=True)
        expect(files).to_have_attribute("aria-pressed", "true")
        files.focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("button", name="Failures", exact=True)).to_be_focused()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
        shoot(seen, "shell-help")
        page.keyboard.press("Escape")

        # An endpoint leads into its form: to its first empty field, or to Send.
        page.keyboard.press("Control+k")
        commands.fill("get books")
        # They are loaded when the palette opens.
        expect(page.get_by_role("option").filter(has_text="GET /books").first).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.get_by_role("form", name="Request").locator(":focus")).to_have_count(1)

        bar = page.get_by_role("separator", name="Width of the log")
        bar.focus()
        page.keyboard.press("Home")
        expect(bar).to_have_attribute("aria-valuenow", "20")
        page.keyboard.press("Enter")
        expect(files).to_be_hidden()
        page.reload()
        expect(bar).to_have_attribute("aria-valuenow", "100")
        shoot(seen, "shell-alone")
        bar.focus()
        page.keyboard.press("Enter")
        expect(files).to_be_visible()


@pytest.mark.long
def test_a_project_is_renamed_duplicated_and_removed_from_its_menu(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "tidy")
        seen.drop_zip("shop", FILES)
        page.get_by_role("button", name="More for shop").click()
        page.get_by_role("menuitem", name="Rename…").click()
        page.get_by_role("textbox", name="Name", exact=True).fill("Till")
        page.get_by_role("button", name="Rename").click()
        page.get_by_role("heading", name="Till", exact=True, level=2).wait_for()
        page.get_by_role("button", name="More for Till").click()
        page.get_by_role("menuitem", name="Duplicate").click()
        page.get_by_role("heading", name="Till copy", exact=True, level=2).wait_for()
        page.get_by_role("button", name="More for Till copy").click()
        shoot(seen, "shell-menu")
        page.keyboard.press("Escape")
        seen.launch()
        page.get_by_role("button", name="More for Till copy").click()
        page.get_by_role("menuitem", name="Delete…").click()
        expect(page.get_by_role("alertdialog")).to_contain_text("running and will be stopped")
        page.get_by_role("alertdialog", name="Delete project “Till copy”?").get_by_role("button", name="Delete").click()
        page.get_by_text("“Till copy” was deleted. You can restore it until").wait_for()
        page.get_by_role("heading", name="Till", exact=True, level=2).wait_for()
        shoot(seen, "shell-removed")
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("heading", name="Till copy", exact=True, level=2).wait_for()


@pytest.mark.long
def test_projects_are_grouped_and_stay_so_after_a_reload(running: Running, browser: Browser) -> None:
    with visit(browser) as seen, running.api("grouper") as api:
        page = seen.page
        for name in ("till", "cellar", "notes"):
            api.post("/api/v1/generations", json={"name": name, "files": FILES}).raise_for_status()
        seen.sign_in(running, "grouper")
        projects = page.get_by_role("navigation", name="Projects")

        def move(name: str, group: str) -> None:
            projects.get_by_role("button", name=re.compile(f"^{name}")).click()
            page.get_by_role("button", name=f"More for {name}").click()
            page.get_by_role("menuitem", name="Move to a group…").click()
            page.get_by_role("combobox", name="Group", exact=True).fill(group)
            page.get_by_role("button", name="Move", exact=True).click()

        def group(name: str) -> Locator:
            return projects.get_by_role("region", name=name, exact=True)

        # A name that is none yet makes a group; another project is moved into it.
        move("till", "<b>Shop</b>")
        expect(group("<b>Shop</b>").get_by_role("listitem")).to_have_count(1)
        move("cellar", "<b>Shop</b>")
        expect(group("<b>Shop</b>").get_by_role("listitem")).to_have_count(2)
        expect(projects.get_by_role("listitem")).to_have_count(3)
        page.reload()
        expect(group("<b>Shop</b>").get_by_role("listitem")).to_have_count(2)

        # Closed by the keyboard, and closed after a reload.
        head = group("<b>Shop</b>").get_by_role("button", name="<b>Shop</b>")
        head.press("Enter")
        expect(head).to_have_attribute("aria-expanded", "false")
        page.reload()
        expect(head).to_have_attribute("aria-expanded", "false")
        expect(projects.get_by_role("listitem")).to_have_count(1)
        head.click()

        # Renamed, with all its projects. Without a project a group is gone.
        page.get_by_role("button", name="More for cellar").click()
        page.get_by_role("menuitem", name="Rename its group…").click()
        page.get_by_role("textbox", name="Group", exact=True).fill("Trade")
        page.get_by_role("button", name="Rename", exact=True).click()
        expect(group("Trade").get_by_role("listitem")).to_have_count(2)
        expect(group("<b>Shop</b>")).to_have_count(0)
        move("till", "")
        move("cellar", "")
        expect(group("Trade")).to_have_count(0)
        page.reload()
        expect(projects.get_by_role("listitem")).to_have_count(3)
        expect(projects.get_by_role("region")).to_have_count(0)
        assert seen.violations == []


@pytest.mark.long
def test_another_tab_learns_of_changes_at_once_and_without_polling(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "twotabs")
        seen.drop_zip("shop", FILES)
        other = page.context.new_page()
        followed: list[str] = []
        other.on("request", lambda one: followed.append(one.url) if one.url.endswith("/api/v1/events") else None)
        other.goto(running.url)
        other.get_by_role("heading", name="shop", exact=True, level=2).wait_for()
        asked: list[str] = []
        for one in (page, other):
            one.on(
                "request", lambda request: asked.append(request.url) if "/api/v1/generations?" in request.url else None
            )
        page.get_by_role("button", name="More for shop").click()
        page.get_by_role("menuitem", name="Rename…").click()
        page.get_by_role("textbox", name="Name", exact=True).fill("Till")
        page.get_by_role("button", name="Rename").click()
        other.get_by_role("heading", name="Till", exact=True, level=2).wait_for()
        # The tab that renamed has read its list once, the other was told.
        assert len(asked) <= 1, asked
        # One stream of events for both.
        assert followed == []


def test_a_telephone_shows_the_log_soon_and_reaches_every_action(running: Running, browser: Browser) -> None:
    with visit(browser, width=390, height=844) as seen:
        page = seen.page
        page.goto(running.url)
        page.get_by_label("Paste a token").fill(running.token("walker"))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Menu", exact=True).wait_for()
        seen.drop_zip("shop", FILES)
        seen.launch()
        shoot(seen, "shell-phone")
        panes = page.get_by_role("group", name="Panes").bounding_box()
        assert panes is not None
        assert panes["y"] <= 124
        page.get_by_role("button", name="Details").click()
        expect(page.get_by_role("button", name="How to reach it")).to_be_visible()
        page.get_by_role("button", name="Details").click()
        menu = page.get_by_role("button", name="Menu", exact=True)
        size = menu.bounding_box()
        assert size is not None
        assert min(size["width"], size["height"]) >= 40
        menu.click()
        for item in ("Rename…", "Duplicate", "Replace files…", "Account, usage and limits", "Sign out walker"):
            expect(page.get_by_role("menuitem", name=item, exact=True)).to_be_visible()
        shoot(seen, "shell-phone-menu")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        # At 200 % zoom of a small window, too: the menu scrolls.
        page.set_viewport_size({"width": 640, "height": 400})
        last = page.get_by_role("menuitem", name="Sign out walker", exact=True)
        last.scroll_into_view_if_needed()
        expect(last).to_be_in_viewport(ratio=1)
        assert page.evaluate("scrollY") == 0
