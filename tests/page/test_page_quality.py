from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from page_kit import BROKEN, FILES, ROOT, Running, Visit, visit
from playwright.sync_api import Browser, expect

from preview.http.routes.browser import STATIC

AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"


def serious(seen: Visit) -> list[str]:
    if not AXE.exists():
        pytest.skip("axe-core is not installed (cd frontend && npm ci)")
    seen.page.evaluate(AXE.read_text())
    # The colours of a transition's middle are nobody's choice.
    seen.page.evaluate(
        "() => { for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish() }"
    )
    found: list[dict[str, Any]] = seen.page.evaluate("() => axe.run().then((result) => result.violations)")
    return [
        f"{one['id']}: {node['html'][:150]} {node['any'][0]['message'] if node['any'] else ''}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (360, "dark"),
        pytest.param(1280, "dark", marks=pytest.mark.long),
        pytest.param(360, "light", marks=pytest.mark.long),
    ],
)
def test_axe_finds_nothing_serious_in_any_state(running: Running, browser: Browser, scheme: str, width: int) -> None:
    with visit(browser, scheme=scheme, width=width) as seen:
        page = seen.page
        page.goto(running.url)
        page.get_by_label("Paste a token").wait_for()
        assert serious(seen) == []
        seen.sign_in(running, f"axe-{scheme}-{width}")
        page.get_by_text("Run a backend and watch its logs").wait_for()
        assert serious(seen) == []
        seen.drop_zip("broken", BROKEN)
        seen.launch(until="Failed")
        assert serious(seen) == []
        seen.drop_zip("shop", FILES)
        seen.launch()
        # A small screen may have only the newest line in sight.
        page.get_by_text("Live", exact=True).first.wait_for()
        page.get_by_role("button", name="Filter by level and source").click()
        assert serious(seen) == []
        page.get_by_role("button", name="Search (Ctrl+F)").click()
        page.get_by_role("textbox", name="Search the log").fill("shop")
        if width < 900:
            page.get_by_role("button", name="Requests").click()
        assert serious(seen) == []
        seen.pick("GET", "/books/{book_id}")
        page.get_by_label("Path: book_id").fill("7")
        seen.send()
        seen.wait_for_answer()
        assert serious(seen) == []
        page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")


def test_nothing_is_wider_than_a_small_screen(running: Running, browser: Browser) -> None:
    with visit(browser, width=360, height=740) as seen:
        seen.sign_in(running, "small-user")
        seen.drop_zip("a-project-with-quite-a-long-name-for-a-telephone", FILES)
        seen.launch()
        for name in ("Log", "Requests"):
            seen.page.get_by_role("button", name=name, exact=True).click()
            assert seen.page.evaluate("() => document.documentElement.scrollWidth") <= 360
        seen.page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")


@pytest.mark.long
def test_the_whole_of_it_can_be_used_without_a_mouse(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "keyboard-user")
        seen.drop_zip("shop", FILES)
        page.get_by_role("button", name="Launch", exact=True).focus()
        page.keyboard.press("Enter")
        seen.wait_for_state("Running")
        # Into the terminal and out of it again.
        page.locator("[role=log]").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("() => !document.activeElement.matches('[role=log]')")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Control+f")
        expect(page.get_by_role("textbox", name="Search the log")).to_be_focused()
        page.keyboard.press("Escape")
        assert page.evaluate("() => document.activeElement.matches('[role=log]')")
        page.get_by_role("button", name="Stop", exact=True).press("Enter")
        seen.wait_for_state("Stopped")


@pytest.mark.timed
def test_the_first_paint_comes_within_a_second(running: Running, browser: Browser) -> None:
    """The best of three: the clock on the wall also counts what else the machine does."""
    painted_ms = []
    with visit(browser) as seen:
        for _ in range(3):
            seen.page.goto(running.url)
            seen.page.get_by_label("Paste a token").wait_for()
            # The browser notes the paint a frame after the element is there: wait for its entry.
            painted_ms.append(
                seen.page.wait_for_function(
                    "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
                ).json_value()
            )
    assert min(painted_ms) < 1000


def test_the_page_is_small_and_holds_nothing_inline() -> None:
    index = (STATIC / "index.html").read_text()
    # Of the first view; panes such as the editor are fetched when they are shown.
    first = [STATIC / name for name in re.findall(r'(?:src|href)="\./(assets/[^"]+\.js)"', index)]
    assert 0 < sum(len(gzip.compress(path.read_bytes())) for path in first) < 250 * 1024
    assert "<style" not in index
    assert re.search(r"<script(?![^>]*\bsrc=)", index) is None
    assert re.search(r"https?://", index) is None
