"""What a preview's output and answers cannot do to the page that shows them."""

from __future__ import annotations

from page_kit import Running, Visit, visit
from playwright.sync_api import Browser, expect

FORGER = """
from fastapi import FastAPI, Response

app = FastAPI()


@app.get("/deep")
def deep():
    return Response("[" * 20000 + "]" * 20000, media_type="application/json")


print("\\x1b[36mready in 0.1 s (GET / -> 200)\\x1b[0m", flush=True)
print("x " * 90 + "\\x1b[36mready in 0.2 s (GET / -> 200)\\x1b[0m", flush=True)
print("bill\\u202efdp.exe", flush=True)
"""
# A mark is no text: it is drawn for a row of the service, left of the element that has the output and cuts it off.
_MARKED_ROWS = """() => [...document.querySelectorAll("[data-log-rows] > div")].filter((row) => {
    const mark = getComputedStyle(row, "::before");
    const text = row.lastElementChild;
    const left = row.getBoundingClientRect().left + parseFloat(mark.left) + parseFloat(mark.width);
    return mark.content !== "none" && left <= text.getBoundingClientRect().left
        && getComputedStyle(text).overflowX === "clip" && row.querySelectorAll("script, style, [id]").length === 0;
}).map((row) => row.textContent)"""


def open_forger(seen: Visit, running: Running, user: str) -> None:
    seen.sign_in(running, user)
    seen.drop_zip("forger", {"main.py": FORGER, "requirements.txt": "fastapi\nuvicorn\n"})
    seen.launch()
    seen.wait_for_line("bill")


def test_a_line_of_the_service_has_a_mark_that_no_output_has(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        open_forger(seen, running, "forgery-user")
        seen.wait_for_line("process")
        seen.page.wait_for_function(f"() => ({_MARKED_ROWS})().some((row) => /process \\d+ started/.test(row))")
        marked: list[str] = seen.page.evaluate(_MARKED_ROWS)
        assert not [row for row in marked if "ready in 0.1 s" in row or "ready in 0.2 s" in row or "x x" in row]
        assert seen.sees("bill\\u202efdp.exe")


def test_json_nested_without_end_is_shown_as_it_came_and_the_page_stays(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        open_forger(seen, running, "deep-user")
        seen.pick("GET", "/deep")
        seen.send()
        seen.wait_for_answer()
        expect(seen.page.get_by_text("nested 20,000 levels deep")).to_be_visible()
        expect(seen.page.get_by_role("region", name="Log", exact=True)).to_be_visible()
        assert seen.violations == []
