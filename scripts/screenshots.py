"""Take the README's pictures from the real page: a real service, a real preview, a real Chromium.

    uv run python scripts/screenshots.py                    writes docs/images/*.png
    uv run python scripts/screenshots.py --states FOLDER    every state that a person can meet, to look at
    uv run python scripts/screenshots.py --monitoring       Prometheus' page of the alert rules (Debian: prometheus)

It needs a Chromium (`apt-get install chromium`); PREVIEW_TEST_CHROMIUM names one that is somewhere else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "page"), str(ROOT / "tests")]

from browser import find_chromium, open_browser  # noqa: E402  found through the path above
from page_kit import Running, Visit, run_service, visit  # noqa: E402  as above
from page_states import take_states  # noqa: E402  as above
from playwright.sync_api import Browser  # noqa: E402
from prometheus_kit import run_prometheus  # noqa: E402  as above

IMAGES = ROOT / "docs" / "images"


def main() -> int:
    """Write the pictures; 1 where there is no browser."""
    parser = argparse.ArgumentParser(description="Take pictures of the page.")
    parser.add_argument(
        "--states", type=Path, metavar="FOLDER", help="every state of the page, instead of the README's"
    )
    parser.add_argument("--look", action="append", default=[], metavar="SCHEME-WIDTH", help="only so: dark-390")
    parser.add_argument("--monitoring", action="store_true", help="Prometheus' page of the alert rules")
    given = parser.parse_args()
    states: Path | None = given.states
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium is installed: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="preview-pictures-") as folder, open_browser(chromium) as browser:
        if given.monitoring:
            take_monitoring(browser, Path(folder))
        elif states is None:
            take_stories(browser, Path(folder))
        else:
            take_states(browser, states, Path(folder), given.look)
    return 0


def take_stories(browser: Browser, work: Path) -> None:
    """Take the pictures of the documents."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with run_service(work / "service") as running:
        launch_once(browser, running)
        for scheme in ("light", "dark"):
            take_story(browser, running, scheme)


def take_monitoring(browser: Browser, work: Path) -> None:
    """Take the picture of the alert rules in a real Prometheus, which has just lost the service."""
    with (
        run_service(work / "service") as running,
        run_prometheus(work / "prometheus", running.url.partition("//")[2]) as url,
        visit(browser) as seen,
    ):
        wait_for(f"{url}/api/v1/targets", '"health":"up"')
        running.process.terminate()
        wait_for(f"{url}/api/v1/alerts", '"state":"pending"')
        seen.page.set_viewport_size({"width": 900, "height": 640})
        seen.page.goto(f"{url}/classic/alerts")
        seen.page.screenshot(path=IMAGES / "prometheus-alerts.png")


def wait_for(url: str, text: str) -> None:
    """Wait until an address answers with a text."""
    for _ in range(600):
        with suppress(httpx2.HTTPError):
            if text in httpx2.get(url, trust_env=False).text:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} never said {text}")


def launch_once(browser: Browser, running: Running) -> None:
    """Build the environment, and start a template of it: the pictures show a usual launch."""
    with visit(browser) as seen:
        seen.page.goto(running.url)
        seen.sign_in(running, "eve")
        upload(seen, "bookshop")
        seen.launch()
        # The template is made after the launch.
        seen.page.wait_for_timeout(10_000)


def take_story(browser: Browser, running: Running, scheme: str) -> None:
    """Take the page in each of its states, in one scheme."""
    with visit(browser, scheme=scheme, height=820) as seen:
        page = seen.page
        page.goto(running.url)
        page.get_by_label("Paste a token").wait_for()
        take(seen, f"sign-in-{scheme}")
        seen.sign_in(running, f"ada-{scheme}")
        page.get_by_text("Run a backend and watch its logs").wait_for()
        take(seen, f"welcome-{scheme}")
        upload(seen, "broken")
        seen.launch(until="Failed")
        page.wait_for_timeout(500)
        take(seen, f"failed-{scheme}")
        upload(seen, "bookshop")
        seen.launch()
        for method, path, fields in (
            ("GET", "/api/v1/authors", {}),
            ("GET", "/api/v1/books/{book_id}", {"book_id": "1"}),
        ):
            seen.pick(method, path)
            for name, value in fields.items():
                page.get_by_label(f"Path: {name}").fill(value)
            seen.send()
            seen.wait_for_answer()
        page.wait_for_timeout(9_000)  # the plots have something to show
        take(seen, f"page-{scheme}")
        page.get_by_role("button", name="Share", exact=True).click()
        dialog = page.get_by_role("dialog", name="Share the preview")
        dialog.get_by_role("button", name="New link").click()
        dialog.get_by_role("textbox", name="Share link").wait_for()
        page.wait_for_timeout(300)
        take(seen, f"share-{scheme}")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Search (Ctrl+F)").click()
        page.get_by_role("textbox", name="Search the log").fill("book")
        page.wait_for_timeout(500)
        page.get_by_role("textbox", name="Search the log").press("Enter")
        page.get_by_role("tab", name="Endpoints").click()
        page.wait_for_timeout(500)
        take(seen, f"search-{scheme}")
        page.get_by_role("button", name="Close the search").click()
        page.set_viewport_size({"width": 360, "height": 740})
        page.wait_for_timeout(500)
        take(seen, f"phone-log-{scheme}")
        page.get_by_role("button", name="Requests", exact=True).click()
        page.wait_for_timeout(300)
        take(seen, f"phone-requests-{scheme}")
        page.set_viewport_size({"width": 1280, "height": 820})
        page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")
        page.wait_for_timeout(500)
        take(seen, f"stopped-{scheme}")


def upload(seen: Visit, example: str) -> None:
    """Upload an example of this repository, as if its folder was picked."""
    seen.page.get_by_label("A folder").first.set_input_files(ROOT / "examples" / example)
    seen.page.get_by_role("heading", name=example, exact=True, level=2).wait_for()


def take(seen: Visit, name: str) -> None:
    """One picture."""
    seen.page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
