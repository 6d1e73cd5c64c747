"""A repository becomes a project on the page, and its update is shown before it is made."""

from __future__ import annotations

import os

import pytest
from local_github import LocalGithub
from page_kit import Running, Visit, visit
from playwright.sync_api import Browser
from test_page_history import APP, START
from test_page_quality import serious

FILES = {"main.py": APP.replace("NAME", "one"), "preview.toml": START, "notes.txt": "x\n"}


@pytest.mark.long
def test_a_person_imports_a_repository_launches_it_and_updates_it(
    running: Running, browser: Browser, github: LocalGithub
) -> None:
    github.push("ann/told", FILES, "1" * 40)
    user = "github-user"
    with visit(browser, scheme="light") as seen, running.api(user) as api:
        page = seen.page
        seen.sign_in(running, user)
        page.get_by_role("button", name="GitHub", exact=True).first.click()
        asked = page.get_by_role("dialog", name="Import from GitHub")
        address = asked.get_by_role("textbox")
        _look(seen, "import")
        address.fill("ann/none")
        address.press("Enter")
        page.get_by_role("alert").get_by_text("no public repository").wait_for()
        _look(seen, "import-refused")
        page.get_by_role("button", name="GitHub", exact=True).first.click()
        address.fill(f"{github.url}/ann/told")
        address.press("Enter")
        page.get_by_role("heading", name="told", exact=True, level=2).wait_for()
        # The list's narrow column holds its buttons.
        zone = page.get_by_role("button", name="GitHub", exact=True).first.locator("xpath=../..")
        assert zone.evaluate("it => it.scrollWidth <= it.clientWidth")
        seen.launch()
        github.push("ann/told", {"main.py": APP.replace("NAME", "two"), "preview.toml": START}, "2" * 40)
        _menu(seen, "Update from GitHub…")
        shown = page.get_by_role("alertdialog", name="Update told from GitHub?")
        shown.get_by_text("ann/told at 2222222. 1 file will be added or changed, and 1 file removed:").wait_for()
        shown.get_by_text("notes.txt").wait_for()
        _look(seen, "update")
        path = f"/api/v1/generations/{api.get('/api/v1/generations').json()['generations'][0]['id']}"
        assert api.get(path).json()["version"] == 1
        # Pushed meanwhile: what was shown is what is made.
        github.push("ann/told", FILES, "3" * 40)
        shown.get_by_role("button", name="Update files").click()
        page.get_by_text("told: files replaced (1 changed, 1 removed).").wait_for()
        now = api.get(path).json()
        assert (now["version"], [one["path"] for one in now["files"]]) == (2, ["main.py", "preview.toml"])
        github.push("ann/told", {"main.py": APP.replace("NAME", "two"), "preview.toml": START}, "2" * 40)
        _menu(seen, "Update from GitHub…")
        page.get_by_text("ann/told at 2222222.").wait_for()
        assert seen.violations == []


def _menu(seen: Visit, item: str) -> None:
    seen.page.get_by_role("button", name="More for told").first.click()
    seen.page.get_by_role("menuitem", name=item).click()


def _look(seen: Visit, name: str) -> None:
    """Nothing is cut off or hard to read, on a small dark screen too."""
    page = seen.page
    folder = os.environ.get("PREVIEW_TEST_PICTURES")
    for scheme, width in (("dark", 390), ("light", 1280)):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 800})
        if scheme == "dark":
            assert serious(seen) == []
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
        if folder:
            page.screenshot(path=f"{folder}/github-{name}-{scheme}-{width}.png")
