"""A finger on a phone, a wheel, and 200 % zoom."""

from __future__ import annotations

from typing import cast

import pytest
from page_kit import FILES, Running, Visit, visit
from playwright.sync_api import Browser, Locator, ViewportSize

# Parts that are wider than the page, or that a neighbour covers where a person would click.
UNREACHABLE = """() => {
  const wrong = [];
  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`page: ${document.documentElement.scrollWidth}`);
  for (const one of document.querySelectorAll("button, input, select, a, summary")) {
    const { left, right, top, bottom, width, height } = one.getBoundingClientRect();
    if (!width || !one.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    const name = `${one.ariaLabel || one.textContent} at ${Math.round(x)},${Math.round(y)}`;
    if (y < 0 || y > innerHeight) continue;
    if (x < 0 || x > innerWidth) {
      // Rows of tabs scroll sideways.
      let around = one;
      while ((around = around.parentElement)) {
        const { overflowX } = getComputedStyle(around);
        if (around.scrollWidth > around.clientWidth && /auto|scroll/.test(overflowX)) break;
      }
      if (!around) wrong.push(`outside: ${name}`);
      continue;
    }
    const hit = document.elementFromPoint(x, y);
    if (hit && !one.contains(hit) && !hit.contains(one)) {
      let clip = one;
      while ((clip = clip.parentElement)) {
        const box = clip.getBoundingClientRect();
        if (getComputedStyle(clip).overflow !== "visible" && (y > box.bottom || y < box.top || x > box.right)) break;
      }
      if (!clip) wrong.push(`covered: ${name} by ${hit.localName}.${hit.className}`);
    }
  }
  return wrong;
}"""


def swipe(seen: Visit, target: Locator, distance: int) -> None:
    """Drag a finger over the middle of the target; downwards if the distance is positive."""
    box = target.bounding_box()
    assert box is not None
    session = seen.page.context.new_cdp_session(seen.page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2 - distance / 2
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 21):
        point = {"x": x, "y": y + distance * step / 20}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def top_of(target: Locator) -> float:
    return cast("float", target.evaluate("(one) => one.scrollTop"))


def scrolled(seen: Visit, target: Locator, before: float, sign: int) -> float:
    """Wait until the target has moved by 50 px, upwards if ``sign`` is negative, and stands; return its place."""
    handle = target.element_handle()
    seen.page.wait_for_function("([one, top, sign]) => sign * (one.scrollTop - top) > 50", arg=[handle, before, sign])
    return cast(
        "float",
        seen.page.evaluate(
            """async (one) => {
                for (let last = null; last !== one.scrollTop; ) {
                    last = one.scrollTop;
                    await new Promise((done) => setTimeout(done, 200));
                }
                return one.scrollTop;
            }""",
            handle,
        ),
    )


@pytest.mark.long
def test_a_finger_scrolls_log_and_endpoints_and_a_wheel_scrolls_the_log(running: Running, browser: Browser) -> None:
    with visit(browser, width=390, height=844) as seen:
        page = seen.page
        page.context.new_cdp_session(page).send("Emulation.setTouchEmulationEnabled", {"enabled": True})
        seen.sign_in(running, "finger")
        seen.drop_zip("shop", FILES)
        seen.launch()
        page.get_by_role("button", name="Requests", exact=True).click()
        seen.pick("GET", "/burst/{count}")
        page.get_by_label("Path: count").fill("300")
        seen.send()
        seen.wait_for_answer()
        page.get_by_role("button", name="Log", exact=True).click()
        log = page.get_by_role("log", name="Lines of the log")
        page.get_by_text("burst 299", exact=True).wait_for()
        end = top_of(log)
        swipe(seen, log, 300)
        up = scrolled(seen, log, end, -1)
        # It stays where the finger left it, and says how to go back.
        page.get_by_role("button", name="To the newest line").wait_for()
        swipe(seen, log, -150)
        down = scrolled(seen, log, up, 1)
        log.hover()
        page.mouse.wheel(0, -200)
        scrolled(seen, log, down, -1)
        assert page.evaluate(UNREACHABLE) == []


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_nothing_is_cut_off_or_covered_at_200_percent_and_from_390_to_1920_px(
    running: Running, browser: Browser, scheme: str
) -> None:
    # A window of 1280 by 800 has 640 by 400 px at 200 %.
    sizes: list[ViewportSize] = [
        {"width": 640, "height": 400},
        {"width": 390, "height": 844},
        {"width": 768, "height": 1024},
        {"width": 1280, "height": 800},
        {"width": 1920, "height": 1080},
    ]
    with visit(browser, scheme=scheme) as seen:
        page = seen.page
        seen.sign_in(running, f"zoomed-{scheme}")
        seen.drop_zip("shop", FILES)
        seen.launch()
        seen.pick("GET", "/books/{book_id}")
        wrong: dict[str, list[str]] = {}
        for size in sizes:
            page.set_viewport_size(size)
            page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
            for pane in ("Log", "Requests"):
                button = page.get_by_role("button", name=pane, exact=True)
                if button.count() and button.first.is_visible():
                    button.first.click()
                found = cast("list[str]", page.evaluate(UNREACHABLE))
                if found:
                    wrong[f"{size['width']} {pane}"] = found
        assert wrong == {}
