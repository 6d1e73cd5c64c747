"""Nothing on the page jumps: what is there stays where it is while things load, start, end and come in."""

from __future__ import annotations

import pytest
from page_kit import FILES, Running, Visit, visit
from playwright.sync_api import Browser, expect

# "Good" of the Core Web Vitals is 0.1 for a whole visit; a small screen has to make room for what is under way.
MOST = {1280: 0.01, 360: 0.1}

# The browser leaves out what follows a click within half a second; here it counts like the rest.
WATCH_SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const one of list.getEntries()) {
            // A scrollbar's slider moves because lines come: that is its job.
            const isSlider = ({ node }) => String(node?.className).includes("slider");
            if (one.sources.length > 0 && one.sources.every(isSlider)) continue;
            const what = one.sources.map(({ node, previousRect, currentRect }) => {
                const name = node?.className || node?.parentElement?.className || String(node?.nodeName);
                return `${name} ${previousRect.x},${previousRect.y} to ${currentRect.x},${currentRect.y}`;
            });
            window.shifts.push([one.value, what.join("; ")]);
        }
    }).observe({ type: "layout-shift", buffered: true });
"""


class Shifts:
    """What has moved since it was last asked."""

    def __init__(self, seen: Visit) -> None:
        self.seen = seen
        seen.page.add_init_script(WATCH_SHIFTS)

    def take(self) -> tuple[float, list[str]]:
        self.seen.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found = self.seen.page.evaluate("() => window.shifts.splice(0)")
        return sum(value for value, _ in found), [f"{value:.4f} {what}" for value, what in found]

    def expect_none(self, most: float, when: str) -> None:
        moved, what = self.take()
        assert moved <= most, f"{when}: moved by {moved:.4f}\n" + "\n".join(what)


def _wait_for_facts(seen: Visit, width: int) -> None:
    """Wait until the preview's facts are there; a small screen has them behind a button."""
    if width >= 640:
        seen.page.get_by_text("Memory", exact=True).wait_for()
    else:
        seen.wait_for_state("Running")


@pytest.mark.long
@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.long), 360])
def test_nothing_moves_while_a_project_is_loaded_launched_watched_and_ended(
    running: Running, browser: Browser, width: int
) -> None:
    most = MOST[width]
    with visit(browser, width=width) as seen:
        page = seen.page
        shifts = Shifts(seen)
        user = f"calm-{width}"
        seen.sign_in(running, user)
        seen.drop_zip("shop", FILES)
        expect(page.get_by_role("button", name="Launch", exact=True)).to_be_visible()
        page.reload()
        expect(page.get_by_role("button", name="Launch", exact=True)).to_be_visible()
        page.get_by_text("Nothing to show yet").wait_for()
        shifts.expect_none(most, "while it loads")
        seen.launch()
        page.get_by_text("Live", exact=True).first.wait_for()
        _wait_for_facts(seen, width)
        shifts.expect_none(most, "while it starts")
        with running.api(user) as api:
            (preview,) = api.get("/api/v1/previews?status=running").json()["previews"]
            path = f"/api/v1/generations/{preview['generation_id']}/preview"
            token = api.post(f"{path}/token").json()["session_token"]
            ask: dict[str, object] = {"method": "GET", "path": "/burst/3000", "query": {}, "headers": {}, "body": None}
            api.post(f"{path}/request", json=ask, headers={"X-Preview-Token": token})
            seen.wait_for_line("burst 2999")
            # The slider of the log's scroll bar is what moves.
            shifts.expect_none(0.005, "while lines come")
            page.reload()
            seen.wait_for_line("burst 2999")
            _wait_for_facts(seen, width)
            shifts.expect_none(most, "while it loads again")
            api.delete(path)
        seen.wait_for_state("Stopped")
        expect(page.get_by_text("Ended", exact=True).first).to_be_visible()
        shifts.expect_none(most, "while it ends")
