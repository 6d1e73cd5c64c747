"""The page in every state that a person can meet, one picture each: `screenshots.py --states FOLDER` runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data_kit import MadeUpData
from page_kit import BROKEN, FILES, PATIENCE_MS, Running, Visit, run_service, visit
from playwright.sync_api import Browser, Route

__all__ = ["take_states"]

_REQUIREMENTS = FILES["requirements.txt"]
_SLOW = {
    "main.py": (
        "import time\n"
        "from fastapi import FastAPI\n"
        "print('loading the catalogue', flush=True)\n"
        "time.sleep(4)\n"
        "app = FastAPI()\n"
        "@app.get('/broken')\n"
        "def broken():\n"
        "    raise RuntimeError('the shelf is empty')\n"
    ),
    "requirements.txt": _REQUIREMENTS,
}
_SILENT = {
    "main.py": "from fastapi import FastAPI\napp = FastAPI(openapi_url=None)\n",
    "requirements.txt": _REQUIREMENTS,
}
_NOTHING = {"notes.txt": "nothing to run here\n"}
_SETTLED_MS = 700
_SHORT_LIFE_S = "9"
_LOOKS = [f"{scheme}-{width}" for scheme in ("light", "dark") for width in (1440, 820, 390)]


def take_states(browser: Browser, folder: Path, work: Path, looks: Sequence[str] = ()) -> None:
    """Write a picture of each state, in these looks such as ``dark-390``: by default both schemes at three widths."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [_look_of(one) for one in looks or _LOOKS]
    with run_service(work / "service") as running:
        for scheme, width in chosen:
            with visit(browser, scheme=scheme, width=width, height=800 if width > 900 else 740) as seen:
                _Album(seen, folder, f"{scheme}-{width}").walk(running)
            with visit(browser, scheme=scheme, width=width, height=800 if width > 900 else 740) as seen:
                _Album(seen, folder, f"{scheme}-{width}").walk_through_data(running)
            with visit(browser, scheme=scheme, width=width, height=800 if width > 900 else 740) as seen:
                _Album(seen, folder, f"{scheme}-{width}").walk_through_dialogs(running)
    for scheme, width in chosen:
        with (
            run_service(work / f"short-{scheme}-{width}", PREVIEW_MAX_UPTIME=_SHORT_LIFE_S) as running,
            visit(browser, scheme=scheme, width=width, height=800 if width > 900 else 740) as seen,
        ):
            _Album(seen, folder, f"{scheme}-{width}").walk_to_the_end(running)


def _look_of(text: str) -> tuple[str, int]:
    scheme, _, width = text.partition("-")
    return scheme, int(width)


class _Album:
    """The pictures of one visit."""

    def __init__(self, seen: Visit, folder: Path, look: str) -> None:
        self.seen = seen
        self.folder = folder
        self.look = look
        seen.page.set_default_timeout(PATIENCE_MS)

    def take(self, state: str) -> None:
        """One picture, when what moves has come to rest."""
        self.seen.page.wait_for_timeout(_SETTLED_MS)
        self.seen.page.screenshot(path=self.folder / f"{state}-{self.look}.png")

    def walk(self, running: Running) -> None:
        """From the sign-in to the session's end, with a service that stays."""
        seen, page = self.seen, self.seen.page
        page.goto(running.url)
        page.get_by_label("Paste a token").wait_for()
        self.take("01-signed-out")
        seen.sign_in(running, f"ada-{self.look}")
        page.get_by_text("Run a backend and watch its logs").wait_for()
        self.take("02-empty")
        with self._held("**/api/v1/generations"):
            seen.drop_zip("shop", FILES, until_there=False)
            page.get_by_text("Uploading").first.wait_for()
            self.take("03-uploading")
        page.get_by_role("heading", name="shop", exact=True, level=2).wait_for()
        self.take("04-not-launched")
        seen.drop_zip("slow-shop", _SLOW)
        page.get_by_role("button", name="Launch", exact=True).click()
        seen.wait_for_line("loading the catalogue", PATIENCE_MS)
        self.take("05-starting")
        seen.wait_for_state("Running")
        self.seen.show_pane("Requests")
        seen.pick("GET", "/broken")
        seen.send()
        seen.wait_for_answer("500")
        self.take("06-request-failed")
        self.seen.show_pane("Log")
        self.take("07-running")
        self._refusals()
        self._ends()
        page.context.clear_cookies()
        page.reload()
        page.get_by_label("Paste a token").wait_for()
        seen.sign_in(running, f"ada-{self.look}")
        page.get_by_role("button", name=re.compile("^Launch")).first.wait_for()
        page.context.clear_cookies()
        # The next act finds it out.
        page.get_by_role("button", name=re.compile("^Launch")).first.click()
        page.get_by_role("button", name="Sign in").first.wait_for()
        self.take("14-session-over")

    def _refusals(self) -> None:
        seen, page = self.seen, self.seen.page
        seen.drop_zip("shop-2", FILES)
        page.get_by_role("button", name="Launch", exact=True).click()
        page.get_by_role("button", name="Stop “slow-shop”, launch this").wait_for()
        self.take("08-limit-reached")
        page.get_by_role("button", name="Stop “slow-shop”, launch this").click()
        seen.wait_for_state("Running")
        page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")
        self.take("09-stopped")
        seen.drop_zip("notes", _NOTHING)
        page.get_by_role("button", name="Launch", exact=True).click()
        page.get_by_role("alert").first.wait_for()
        self.take("10-nothing-to-launch")

    def _ends(self) -> None:
        seen, page = self.seen, self.seen.page
        seen.drop_zip("broken", BROKEN)
        seen.launch(until="Failed")
        self.take("11-failed")
        seen.drop_zip("silent", _SILENT)
        seen.launch()
        self.seen.show_pane("Requests")
        page.get_by_text("No endpoints were found").wait_for()
        self.take("12-no-endpoints")
        page.get_by_role("button", name="Write a request").click()
        self.take("13-writing-a-request")
        page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")

    def walk_to_the_end(self, running: Running) -> None:
        """Expiry, and a service that goes away and comes back."""
        seen, page = self.seen, self.seen.page
        seen.sign_in(running, f"ada-{self.look}")
        seen.drop_zip("shop", FILES)
        seen.launch()
        seen.wait_for_state("Stopped")
        self.take("15-expired")
        seen.launch()
        running.kill()
        page.get_by_text("Reconnecting; no lines").wait_for()
        self.take("16-reconnecting")
        running.start_again()
        page.get_by_text("Ended", exact=True).first.wait_for(timeout=60_000)
        self.take("17-after-a-restart")

    def walk_through_data(self, running: Running) -> None:
        """Take the panel "Data", with made-up answers."""
        page = self.seen.page
        MadeUpData().open(self.seen, running, f"ada-{self.look}")
        self.seen.show_pane("Data")
        page.get_by_text("PostgreSQL 17.2").wait_for()
        self.take("18-databases")
        page.get_by_role("button", name="public.books").click()
        page.get_by_text("Book 1", exact=True).wait_for()
        self.take("19-table")
        page.get_by_role("tab", name="SQL").click()
        page.get_by_label("SQL statement").fill("select * from bookz")
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_role("alert").wait_for()
        self.take("20-statement-refused")
        page.get_by_role("tab", name=re.compile("^Snapshots")).click()
        self.take("21-snapshots")
        page.get_by_role("button", name="Restore before the change").click()
        self.take("22-question")
        page.get_by_role("button", name="Restore", exact=True).click()
        page.get_by_text("To undo this").wait_for()
        self.take("23-restored")
        page.get_by_role("button", name="Compare before the change").click()
        page.get_by_text("Dune").wait_for()
        self.take("24-changes")

    def walk_through_dialogs(self, running: Running) -> None:
        """Take what is dropped and imported, and the operator's flags."""
        seen, page = self.seen, self.seen.page
        seen.sign_in(running, f"dialogs-{self.look}")
        held = page.evaluate_handle("""() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["x"], "x.zip", { type: "application/zip" }));
            return transfer;
        }""")
        page.locator("header").first.dispatch_event("dragenter", {"dataTransfer": held})
        self.take("25-dropping")
        page.locator("header").first.dispatch_event("dragleave", {"dataTransfer": held})
        seen.drop_zip("shop", FILES)
        seen.launch()
        self.seen.show_pane("Requests")
        page.get_by_role("tab", name="Recorded").click()
        self.take("26-nothing-recorded")
        page.get_by_role("button", name="Paste a curl command").click()
        self.take("27-curl")
        command = f"curl {running.url}/books/1?language=de -H 'Accept: application/json'"
        page.get_by_role("dialog").get_by_role("textbox").fill(command)
        page.get_by_role("dialog").get_by_role("button", name="Import", exact=True).click()
        seen.send()
        seen.wait_for_answer()
        page.get_by_role("tab", name="Recorded").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="Export HAR").click()
        page.get_by_label("HAR file").set_input_files(download.value.path())
        page.get_by_text("1 request imported.").wait_for()
        self.take("28-har-imported")
        running.end_previews(f"dialogs-{self.look}")
        page.context.clear_cookies()
        seen.sign_in(running, "local")
        page.get_by_role("button", name="Account of").click()
        dialog = page.get_by_role("dialog", name="Account")
        dialog.get_by_role("tab", name="Operator").click()
        page.keyboard.press("ArrowRight")
        tracing = dialog.get_by_role("region", name="Tracing")
        tracing.get_by_text("Gradual rollout and comparison").click()
        self.take("29-flags")
        tracing.get_by_role("button", name="5 %", exact=True).click()
        page.get_by_role("dialog", name="Roll out on to 5 % of users?").wait_for()
        self.take("30-flag-question")
        page.keyboard.press("Escape")
        dialog.get_by_role("region", name="Flag changes").scroll_into_view_if_needed()
        self.take("31-flag-changes")

    @contextmanager
    def _held(self, address: str) -> Iterator[None]:
        """Hold requests to this address until the block is over."""
        waiting: list[Route] = []

        def hold(route: Route) -> None:
            if route.request.method == "POST":
                waiting.append(route)
            else:
                route.continue_()

        self.seen.page.route(address, hold)
        yield
        for route in waiting:
            route.continue_()
        self.seen.page.unroute(address)
