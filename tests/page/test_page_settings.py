"""Launch settings on the page: variables, secrets, flags, presets, and what detection made up."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest
from page_kit import Running, Visit, visit, wait_until
from playwright.sync_api import Browser, Locator, expect
from test_page_quality import serious

SECRET = "sesame-open-0123456789"
APP = """\
import os
STRIPE = os.environ["STRIPE_API_KEY"]
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"checkout {os.environ.get('NEW_CHECKOUT')} color {os.environ.get('COLOR')} {len(STRIPE)}".encode()]
"""
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
FILES = {"main.py": APP, "preview.toml": START}


def open_settings(seen: Visit) -> Locator:
    seen.page.get_by_role("button", name="Settings", exact=True).click()
    return seen.page.get_by_role("region", name="Settings", exact=True)


def add(pane: Locator, name: str, value: str) -> None:
    pane.get_by_role("button", name="Add", exact=True).click()
    pane.get_by_label("Name").fill(name)
    pane.get_by_label("Value").fill(value)
    pane.get_by_role("form", name="New variable").get_by_role("button", name="Save").click()
    pane.get_by_text(name, exact=True).wait_for()


def shoot(seen: Visit, name: str) -> None:
    if shots := os.environ.get("PREVIEW_TEST_SCREENSHOTS"):
        seen.page.screenshot(path=Path(shots) / f"settings-{name}.png")


@pytest.mark.long
def test_a_placeholder_is_set_a_flag_is_turned_and_a_preset_switched(running: Running, browser: Browser) -> None:
    with visit(browser) as seen, running.api("settings-user") as api:
        page = seen.page
        seen.sign_in(running, "settings-user")
        seen.drop_zip("shop", FILES)
        seen.launch()
        pane = open_settings(seen)
        pane.get_by_text("STRIPE_API_KEY is not set; using a placeholder").wait_for()
        shoot(seen, "first")
        # A decision is set beginning with its value; the port is the service's.
        pane.get_by_role("button", name="Set it: app").click()
        expect(pane.get_by_label("Application")).to_have_value("main:app")
        expect(pane.get_by_label("Application")).to_be_focused()
        pane.get_by_role("button", name="Discard").click()
        expect(pane.get_by_role("button", name="Set it: PORT")).to_have_count(0)
        expect(pane.get_by_role("button", name="Set it: DATABASE_URL")).to_be_visible()
        # Set what detection made up: proposed as a secret, and never seen again.
        pane.get_by_role("button", name="Set it: STRIPE_API_KEY").click()
        expect(pane.get_by_label("Name")).to_have_value("STRIPE_API_KEY")
        expect(pane.get_by_role("checkbox", name="Secret")).to_be_checked()
        expect(pane.get_by_label("Value")).to_have_attribute("type", "password")
        pane.get_by_label("Value").fill(SECRET)
        page.keyboard.press("Enter")
        pane.get_by_text("Saved.", exact=True).wait_for()
        add(pane, "NEW_CHECKOUT", "off")
        pane.get_by_role("button", name="Restart to apply").click()
        pane.get_by_text("The preview runs with the saved settings.").wait_for()
        assert SECRET not in page.content()
        # A flag is turned, and seen at once.
        pane.get_by_role("switch", name="NEW_CHECKOUT").click()
        expect(pane.get_by_role("switch", name="NEW_CHECKOUT")).to_be_checked()
        base = api.get("/api/v1/previews").json()["previews"][0]
        # What the page said of the restart stands there until it says the same of this one.
        wait_until(lambda: body(base["base_url"]) == f"checkout on color None {len(SECRET)}")
        pane.get_by_text("The preview runs with the saved settings.").wait_for()
        # A preset: made, filled, used by one click.
        pane.get_by_role("button", name="Preset", exact=True).click()
        page.get_by_label("Name").fill("staging")
        page.keyboard.press("Enter")
        pane.get_by_text("The preset staging was created.").wait_for()
        expect(pane.get_by_label("Name")).to_have_count(0)
        # What follows is for the preset, once it is there.
        expect(pane.get_by_role("button", name="staging", exact=True)).to_have_attribute("aria-pressed", "true")
        pane.get_by_role("button", name="Paste .env").click()
        page.get_by_label("Text").fill("COLOR=blue\nOTHER_TOKEN='x y'\n")
        page.get_by_role("button", name="Show changes").click()
        page.get_by_role("list", name="Changes").get_by_text("OTHER_TOKEN").wait_for()
        shoot(seen, "paste")
        page.get_by_role("button", name="Set these").click()
        pane.get_by_text("2 added, 0 changed.").wait_for()
        pane.get_by_role("button", name="Use this preset").click()
        pane.get_by_text("The preview runs with the saved settings.").wait_for()
        wait_until(lambda: "color blue" in body(base["base_url"]))
        pane.get_by_text("Compare presets").click()
        pane.get_by_role("cell", name="secret, only in the second").wait_for()
        shoot(seen, "preset")
        assert serious(seen) == []
        # Start options are saved, and wrong ones named.
        pane.get_by_label("Application").fill("no app")
        pane.get_by_role("form", name="Start options").get_by_role("button", name="Save").click()
        pane.get_by_text("is not an application").wait_for()
        assert seen.violations == []
        for width, scheme in ((768, "light"), (390, "dark"), (390, "light")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert serious(seen) == []
            shoot(seen, f"{width}-{scheme}")


def body(address: str) -> str:
    """The answer of the preview's application."""
    return httpx2.get(address, trust_env=False).text
