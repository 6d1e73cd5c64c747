"""Ten tasks of a newcomer on the page, by the clock, at a person's speed, in a real Chromium.

``uv run python benchmarks/tasks.py [--rounds N] [--fast]``

Each act is real input: the pointer moves, buttons are pressed, keys are typed. Before each act the driver waits as long
as a person takes, by the keystroke-level model (Card, Moran, Newell): a key or a press 0.28 s, pointing 1.1 s, the hand
to the other device 0.4 s, a decision 1.35 s. A task lasts from its first picture until its goal is seen on the page.
A file is chosen in the system's own dialog, which no test can see: it counts as two more clicks. The exit status is 1
if a task took a minute.
"""

from __future__ import annotations

import argparse
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "page"), str(ROOT / "tests")]

from browser import find_chromium, open_browser  # noqa: E402  found through the path above
from page_kit import Running, Visit, run_service, visit, zipped  # noqa: E402  as above
from playwright.sync_api import Browser, Locator, Page, expect  # noqa: E402

_MOST_S = 60
_PATIENCE_MS = 120_000
_DAY_MS = 24 * 3_600_000
# The times of the keystroke-level model, in seconds.
_KEY, _POINT, _HOME, _DECIDE = 0.28, 1.1, 0.4, 1.35
_APP = """\
import os

from fastapi import FastAPI
from pydantic import BaseModel, Field

CURRENCY = {"EUR": 2, "JPY": 0}[os.environ["SHOP_CURRENCY"]]
PRICES = {"tea": 3}
app = FastAPI(title="Till")


class Order(BaseModel):
    item: str = Field(min_length=2)
    copies: int = Field(ge=1)


@app.post("/orders", status_code=201)
def order(order: Order):
    return order


@app.get("/prices/{item}")
def price(item: str):
    print("somebody asks for", item, flush=True)
    return {"currency": CURRENCY, "price": PRICES[item]}
"""
_FILES = {"main.py": _APP, "requirements.txt": "fastapi\nuvicorn\n"}
_SECOND = {**_FILES, "main.py": _APP.replace('os.environ["SHOP_CURRENCY"]', '"EUR"')}


class Person:
    """Somebody at the page: waits as a person does, then acts with real input."""

    def __init__(self, page: Page, speed: float) -> None:
        self.page = page
        self._speed = speed
        # The hand is at the pointer first.
        self._types = False

    def click(self, what: Locator) -> None:
        """Decide, point at it, and press."""
        self._wait(_DECIDE + (_HOME if self._types else 0))
        self._types = False
        what.wait_for(timeout=_PATIENCE_MS)
        expect(what).to_be_enabled(timeout=_PATIENCE_MS)
        what.scroll_into_view_if_needed()
        self._wait(_POINT)
        # Now: what is pointed at may have moved meanwhile, as it may for a person.
        place = what.bounding_box()
        assert place is not None
        self.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2, steps=8)
        self._wait(_KEY)
        self.page.mouse.down()
        self.page.mouse.up()

    def type(self, *keys: str) -> None:
        """Decide, and type where the focus is: each is a key by its name, or a character."""
        self._wait(_DECIDE + (0 if self._types else _HOME))
        self._types = True
        for key in keys:
            self._wait(_KEY * (2 if key.isupper() or "+" in key[:-1] else 1))
            self.page.keyboard.press(key)

    def choose_zip(self, name: str, files: Mapping[str, str]) -> None:
        """Click “Zip”, then a file and “Open” in the system's dialog."""
        with self.page.expect_file_chooser() as dialog:
            self.click(self.page.get_by_role("button", name="Zip", exact=True))
        self._wait(2 * (_DECIDE + _POINT + _KEY))
        dialog.value.set_files({"name": f"{name}.zip", "mimeType": "application/zip", "buffer": zipped(files)})

    def _wait(self, seconds: float) -> None:
        self.page.wait_for_timeout(seconds * 1000 / self._speed)


class Round:
    """The ten tasks, once, by a new user. Between two of them nothing is timed."""

    def __init__(self, seen: Visit, running: Running, user: str, speed: float) -> None:
        self.seen, self.page, self.running, self.user = seen, seen.page, running, user
        self.person = Person(seen.page, speed)
        self.response = seen.page.get_by_role("region", name="Response", exact=True)

    def tasks(self) -> dict[str, Callable[[], None]]:
        """Return the tasks in their order."""
        return {
            "first launch": self.launch,
            "set a missing variable": self.set_variable,
            "send a valid POST": self.post,
            "find why a request failed": self.find_cause,
            "fix it in the editor": self.fix,
            "roll back": self.roll_back,
            "share read-only": self.share,
            "find last night's log": self.find_log,
            "compare two launches": self.compare,
            "free a limit": self.free,
        }

    def prepare(self, task: str) -> None:
        """What happens between two tasks, without the person: a night."""
        if task != "find last night's log":
            return
        self.page.keyboard.press("Escape")
        self.page.get_by_role("button", name="Stop", exact=True).click()
        self.seen.wait_for_state("Stopped")
        self._make_it_last_night()
        self.seen.launch()

    def launch(self) -> None:
        self.person.choose_zip("till", _FILES)
        self.person.click(self._button("Launch"))
        # The goal: the reason, as the page says it. The next task ends with the running preview.
        self.page.get_by_role("alert").get_by_text("SHOP_CURRENCY is not set").wait_for(timeout=_PATIENCE_MS)

    def set_variable(self) -> None:
        self.person.click(self.page.get_by_role("alert").get_by_role("button", name="Settings"))
        expect(self.page.get_by_label("Value")).to_be_focused()
        self.person.type(*"EUR", "Enter")
        self.person.click(self._button("Launch again"))
        self._state("Running")

    def post(self) -> None:
        self.person.click(self._pane("Requests"))
        self.person.click(self.page.get_by_role("button", name="POST /orders").first)
        self.person.click(self._button("Send"))
        self.response.get_by_text("201 Created").wait_for()

    def find_cause(self) -> None:
        self.person.click(self.page.get_by_role("tab", name=re.compile("^Endpoints")))
        self.person.click(self.page.get_by_role("button", name="GET /prices/{item}").first)
        self.person.type(*"milk", "Enter")
        self.response.get_by_text("500 Internal").wait_for()
        self.person.click(self._button("Why?"))
        self.page.get_by_role("region", name="Frames").get_by_text("PRICES[item]").wait_for()

    def fix(self) -> None:
        self.person.click(self.page.get_by_role("region", name="Frames").get_by_role("button").first)
        self.page.locator(".cm-activeLine").get_by_text("PRICES[item]").wait_for()
        self.person.type("End", *["Backspace"] * len("[item]}"), *".get(item)}", "Control+s")
        self.page.get_by_text(re.compile("Saved, reloaded in")).wait_for(timeout=_PATIENCE_MS)

    def roll_back(self) -> None:
        self.person.click(self._pane("History"))
        self.person.click(self._button("Roll back"))
        self.person.click(self.page.get_by_role("dialog").get_by_role("button", name="Roll back"))
        self.page.get_by_text("Rolled back to version 1, and reloaded.").wait_for(timeout=_PATIENCE_MS)

    def share(self) -> None:
        self.person.click(self._button("Share"))
        self.person.click(self.page.get_by_role("radio", name="read-only"))
        self.person.click(self._button("New link"))
        self.page.get_by_label("Share link").first.wait_for()

    def find_log(self) -> None:
        self.person.click(self._pane("History"))
        self.person.click(self.page.get_by_role("tab", name="Launches"))
        last = self.page.get_by_role("listitem").filter(has_text="Stopped").filter(has_text="yesterday").first
        self.person.click(last.get_by_role("button", name="Open"))
        log = self.page.get_by_role("tabpanel", name="Log")
        log.locator("[data-position]").first.wait_for()

    def compare(self) -> None:
        self.person.click(self._button("Launches"))
        boxes = self.page.get_by_role("checkbox", name="Compare the launch")
        self.person.click(boxes.nth(0))
        self.person.click(boxes.nth(1))
        self.person.click(self._button("Compare two"))
        self.page.get_by_role("rowheader", name="Health check").wait_for()

    def free(self) -> None:
        self.person.choose_zip("second", _SECOND)
        self.person.click(self._button("Launch"))
        self.person.click(self._button("Stop “till”, launch this"))
        self._state("Running")

    def _button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True).first

    def _pane(self, name: str) -> Locator:
        return self.page.get_by_role("group", name="Panes").get_by_role("button", name=name, exact=True)

    def _state(self, word: str) -> None:
        self.seen.wait_for_state(word)

    def _make_it_last_night(self) -> None:
        """Move the user's launches a day back, in the service's database."""
        (file,) = (self.running.folder / "data").glob("*.db")
        with closing(sqlite3.connect(file, timeout=30)) as database, database:
            database.execute(
                "UPDATE preview_instances SET created_at = created_at - ?1, started_at = started_at - ?1,"
                " stopped_at = stopped_at - ?1 WHERE user_id = ?2",
                (_DAY_MS, self.user),
            )


def measure(browser: Browser, rounds: int, speed: float) -> dict[str, list[float]]:
    """Return the seconds of each task in each round."""
    took: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="preview-tasks-") as folder,
        run_service(Path(folder) / "service") as running,
    ):
        for number in range(rounds):
            with visit(browser) as seen:
                seen.page.set_default_timeout(_PATIENCE_MS)
                seen.sign_in(running, f"person-{number}")
                one = Round(seen, running, f"person-{number}", speed)
                for name, act in one.tasks().items():
                    one.prepare(name)
                    began = time.monotonic()
                    act()
                    took.setdefault(name, []).append(time.monotonic() - began)
            running.end_previews(f"person-{number}")
    return took


def main() -> int:
    """Print seconds for each task; 1 if one took too long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="times that all tasks are done (3)")
    parser.add_argument("--fast", action="store_true", help="without a person's pauses: what the page itself takes")
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium is installed: apt-get install chromium", file=sys.stderr)
        return 2
    before = os.getloadavg()[0]
    with open_browser(chromium) as browser:
        took = measure(browser, options.rounds, 1000 if options.fast else 1)
    print(f"rounds: {options.rounds}; load before {before:.1f}, after {os.getloadavg()[0]:.1f}")
    print("| task | median, s | each round |\n| --- | --- | --- |")
    for name, seconds in took.items():
        print(f"| {name} | {statistics.median(seconds):.1f} | {', '.join(f'{one:.1f}' for one in seconds)} |")
    return 1 if max(map(statistics.median, took.values())) >= _MOST_S else 0


if __name__ == "__main__":
    raise SystemExit(main())
