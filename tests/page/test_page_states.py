"""States that are over in a moment on a quick machine, and forms on a small screen."""

from __future__ import annotations

import re

import pytest
from page_kit import FILES, Running, visit
from playwright.sync_api import Browser, Route, expect
from test_page_quality import serious


def test_what_is_fetched_says_so_and_the_welcome_says_where_to_drop(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page, held = seen.page, list[Route]()

        # Playwright marks the function, which it cannot do with a list's own method.
        def hold(route: Route) -> None:
            held.append(route)

        seen.sign_in(running, "states-user")
        expect(page.get_by_role("main").get_by_text("Drop a folder or a zip")).to_be_visible()
        dragged = page.evaluate_handle(
            "() => { const one = new DataTransfer(); one.items.add(new File(['x'], 'a.zip')); return one; }"
        )
        page.locator("header").first.dispatch_event("dragenter", {"dataTransfer": dragged})
        expect(page.get_by_text("Drop it to upload")).to_be_visible()
        seen.drop_zip("shop", FILES)
        # A panel's program, and then its content.
        page.route(re.compile(r"/assets/HistoryPanel-.*\.js|/versions(\?|$)"), hold)
        seen.show_pane("History")
        expect(page.get_by_text("Loading…", exact=True)).to_be_visible()
        held.pop().continue_()
        page.get_by_role("tab", name="Versions").wait_for()
        expect(page.get_by_text("Loading…", exact=True)).to_be_visible()
        held.pop().continue_()
        expect(page.get_by_text("1 version", exact=True)).to_be_visible()
        assert not seen.violations


@pytest.mark.long
def test_a_request_is_sent_and_a_preview_shared_on_a_small_screen(running: Running, browser: Browser) -> None:
    with visit(browser, width=390, height=844, scheme="light") as seen:
        page = seen.page

        def check() -> None:
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
            assert serious(seen) == []

        seen.sign_in(running, "small-form-user")
        seen.drop_zip("shop", FILES)
        seen.launch()
        seen.show_pane("Requests")
        seen.pick("POST", "/books")
        check()
        seen.send()
        seen.wait_for_answer("201 Created")
        check()
        page.get_by_role("button", name="Details", exact=True).click()
        page.get_by_role("button", name="Share", exact=True).click()
        dialog = page.get_by_role("dialog", name="Share the preview")
        dialog.get_by_role("radio", name="read-only").check()
        dialog.get_by_role("button", name="New link").click()
        expect(dialog.get_by_role("list", name="Share links")).to_contain_text("read-only")
        check()
        assert not seen.violations
