"""Longest task of the page while a preview prints 1,000 lines a second, in a real Chromium.

``uv run python benchmarks/page.py [--rate N] [--seconds S]``

A task is the time in which the page answers nothing. Each is measured twice by the browser's own trace: by the clock,
and as processor time of the page's main thread, which does not depend on how busy the machine is. Meanwhile the page
watches, filters, scrolls, searches, opens panes and sends a request. The exit status is 1 if a task took 200 ms of
processor time.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "page"), str(ROOT / "tests")]

from browser import find_chromium, open_browser  # noqa: E402  found through the path above
from page_kit import Visit, run_service, visit  # noqa: E402  as above
from playwright.sync_api import Browser  # noqa: E402

_MOST_MS = 200
_CATEGORIES = ["toplevel", "disabled-by-default-devtools.timeline", "devtools.timeline"]
_FILES = {
    "main.py": """
import sys
import threading
import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/print/{rate}/{seconds}")
def start(rate: int, seconds: int):
    def run():
        began, number = time.monotonic(), 0
        while number < rate * seconds:
            due = min(rate * seconds, int((time.monotonic() - began) * rate))
            lines = []
            while number < due:
                number += 1
                level = "ERROR" if number % 97 == 0 else "INFO"
                lines.append(f'{level}: {number} GET /books/{number % 50} {"x" * (number % 120)} {{"id": {number}}}')
            print("\\n".join(lines), flush=True) if lines else None
            time.sleep(0.005)

    threading.Thread(target=run, daemon=True).start()
    return rate


@app.get("/books/{book_id}")
def book(book_id: int):
    return {"id": book_id}
""",
    "requirements.txt": "fastapi\nuvicorn\n",
}


@contextmanager
def traced(browser: Browser, seen: Visit, found: dict[str, tuple[float, float]], name: str) -> Iterator[None]:
    """Note the longest task of a block in ms, by the clock and in processor time."""
    browser.start_tracing(page=seen.page, categories=_CATEGORIES)
    try:
        yield
    finally:
        tasks = list(_tasks(json.loads(browser.stop_tracing())["traceEvents"]))
        found[name] = (max((wall for wall, _ in tasks), default=0.0), max((cpu for _, cpu in tasks), default=0.0))


def _tasks(events: list[Mapping[str, Any]]) -> Iterator[tuple[float, float]]:
    """Yield the tasks of the pages' main threads."""
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"].get("name") == "CrRendererMain"
    }
    for one in events:
        if (one["pid"], one["tid"]) in mains and one["name"].endswith("RunTask") and one["ph"] == "X":
            yield one.get("dur", 0) / 1000, one.get("tdur", 0) / 1000


def measure(browser: Browser, rate: int, seconds: int) -> dict[str, tuple[float, float]]:
    """Use the page while lines come; return the longest task of each part."""
    found: dict[str, tuple[float, float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="preview-page-") as folder,
        run_service(Path(folder) / "service") as running,
        visit(browser) as seen,
    ):
        seen.sign_in(running, "ada")
        seen.drop_zip("shop", _FILES)
        seen.launch()
        for name, act in _acts(seconds).items():
            seen.pick("GET", "/print/{rate}/{seconds}")
            for label, value in (("rate", rate), ("seconds", seconds)):
                seen.page.get_by_label(f"Path: {label}").fill(str(value))
            seen.send()
            seen.wait_for_answer()
            with traced(browser, seen, found, name):
                act(seen)
                seen.page.wait_for_timeout(1000)
            # The next part has lines of its own only.
            seen.page.wait_for_timeout(seconds * 1000)
    return found


def _acts(seconds: int) -> dict[str, Callable[[Visit], None]]:
    return {
        "watching": lambda seen: seen.page.wait_for_timeout(seconds * 800),
        "filtering": _filter,
        "searching": _search,
        "scrolling": _scroll,
        "opening panes": _open_panes,
        "sending a request": _request,
    }


def _filter(seen: Visit) -> None:
    page = seen.page
    page.get_by_role("button", name="Filter by level and source").click()
    field = page.get_by_role("textbox", name="Filter the log")
    field.press_sequentially("error -path:/health", delay=60)
    field.press("Enter")
    page.wait_for_timeout(1500)
    page.get_by_role("button", name=re.compile("^Remove")).first.click()
    page.get_by_role("button", name="Filter by level and source").click()


def _search(seen: Visit) -> None:
    page = seen.page
    page.get_by_role("button", name="Search (Ctrl+F)").click()
    page.get_by_role("textbox", name="Search the log").press_sequentially("books/7", delay=60)
    for _ in range(10):
        page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def _scroll(seen: Visit) -> None:
    page = seen.page
    page.locator("[role=log]").focus()
    for key in ("PageUp",) * 15 + ("Home", "End"):
        page.keyboard.press(key)
    page.mouse.move(300, 500)
    for _ in range(20):
        page.mouse.wheel(0, -900)
    page.keyboard.press("End")


def _open_panes(seen: Visit) -> None:
    for name in ("Failures", "Metrics", "History", "Alerts", "Files", "Requests"):
        seen.show_pane(name)
        seen.page.wait_for_timeout(300)


def _request(seen: Visit) -> None:
    seen.pick("GET", "/books/{book_id}")
    seen.page.get_by_label("Path: book_id").fill("7")
    seen.send()
    seen.wait_for_answer()


def main() -> int:
    """Print the longest task of each part; 1 if one took too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=1000, help="lines a second (1000)")
    parser.add_argument("--seconds", type=int, default=8, help="of lines for each part (8)")
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium is installed: apt-get install chromium", file=sys.stderr)
        return 1
    with open_browser(chromium) as browser:
        found = measure(browser, options.rate, options.seconds)
    print(f"longest task at {options.rate:,} lines/s, in ms    by the clock    processor time")
    for name, (wall, cpu) in found.items():
        print(f"{name:<42} {wall:>13.0f} {cpu:>17.0f}")
    return int(max(cpu for _, cpu in found.values()) >= _MOST_MS)


if __name__ == "__main__":
    sys.exit(main())
