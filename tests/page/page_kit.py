"""A real service in a process of its own, and a real browser that looks at its page."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from migrated import begin_migrated
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, ViewportSize
from stall_meter import open_stall_meter

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-c", "from preview.cli import main; main()"]
# A cold start of an environment on a busy machine.
PATIENCE_MS = 90_000

SHOP = '''
import logging
import threading
import time

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

app = FastAPI(title="Shop")


class Book(BaseModel):
    title: str
    pages: int


@app.get("/health", tags=["shop"])
def health():
    """Whether it is there."""
    return {"status": "ok"}


@app.get("/books/{book_id}", tags=["books"])
def read_book(book_id: int, language: str = "en"):
    """Read a book"""
    print(f"looking for book {book_id}", flush=True)
    return {"id": book_id, "language": language, "tags": ["new", "blue"], "author": {"name": "Ada", "born": 1815}}


@app.post("/books", tags=["books"], status_code=201)
def create_book(book: Book):
    """Create a book"""
    return book


@app.get("/page", response_class=HTMLResponse, tags=["shop"])
def page():
    """A page"""
    return "<h1>The shop</h1><script>document.title = 'ran'</script>"


@app.get("/burst/{count}", tags=["shop"])
def burst(count: int):
    """Many lines at once"""
    print("\\n".join(f"burst {number}" for number in range(count)), flush=True)
    return count


@app.get("/tick/{count}", tags=["shop"])
def tick(count: int):
    """A line now and then"""
    def run():
        for number in range(count):
            print(f"tick {number}", flush=True)
            time.sleep(0.01)

    threading.Thread(target=run, daemon=True).start()
    return count


print("\\x1b[32mthe shop is open\\x1b[0m, see https://example.com/shop", flush=True)
logging.warning("the till is nearly empty")
'''
FILES = {"main.py": SHOP, "requirements.txt": "fastapi\nuvicorn\n"}
BROKEN = {
    "main.py": "from fastapi import FastAPI\nimport cellar_of_wines\napp = FastAPI()\n",
    "requirements.txt": "fastapi\nuvicorn\n",
}


@dataclass
class Running:
    """A service that answers."""

    url: str
    folder: Path
    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    login: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def trusted(self) -> ssl.SSLContext:
        """Who may have signed its certificate, where it has one."""
        return ssl.create_default_context(cafile=self.environment.get("PREVIEW_CA"))

    def token(self, user: str) -> str:
        """A token for this person; made once, as it takes a process to make it."""
        if user not in self.tokens:
            self.tokens[user] = self._new_token(user)
        return self.tokens[user]

    def _new_token(self, user: str) -> str:
        made = subprocess.run(
            [*PROGRAM, "token", user],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return made.stdout.strip().splitlines()[-1]

    def api(self, user: str) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        # A connection for each call: a kept one may be closed by the service in the moment that a call takes it.
        fresh = httpx2.Limits(max_keepalive_connections=0)
        return httpx2.Client(
            base_url=self.url, headers=headers, trust_env=False, timeout=90, verify=self.trusted, limits=fresh
        )

    def end_previews(self, user: str) -> None:
        """Stop what a person has running; its port is free then."""
        with self.api(user) as api:
            for one in api.get("/api/v1/previews?status=running").raise_for_status().json()["previews"]:
                api.delete(f"/api/v1/generations/{one['generation_id']}/preview")

    def kill(self) -> None:
        """As if the machine had lost it: no goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def start_again(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
        _, self.process, self.login = _start(urlsplit(self.url).netloc, self.environment)


@contextmanager
def run_service(folder: Path, **settings: str) -> Iterator[Running]:
    """The service of this checkout, on a port and in a folder of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    first = 25_000 + os.getpid() % 200 * 20
    environment = kept | {
        "PREVIEW_DATA_DIR": str(folder / "data"),
        "PREVIEW_CACHE_DIR": str(folder.parent / "preview-page-cache"),
        "PREVIEW_PORT_MIN": str(first),
        "PREVIEW_PORT_MAX": str(first + 19),
        "PREVIEW_STOP_GRACE": "1",
        **settings,
    }
    begin_migrated(environment)
    url, process, login = _start("127.0.0.1:0", environment)
    running = Running(url, folder, process, environment, login)
    try:
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(30)
        finally:
            running.process.kill()
            if running.process.stdout is not None:
                running.process.stdout.close()


def _start(bind: str, environment: Mapping[str, str]) -> tuple[str, subprocess.Popen[str], str]:
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--bind", bind, "--json"],
            cwd=ROOT,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline() if select.select([process.stdout], [], [], 120)[0] else ""
        if not line:
            process.kill()
            process.communicate()
            errors.seek(0)
            raise AssertionError(f"the service did not start:\n{errors.read()[-4000:]}")
    told = json.loads(line)
    return told["url"], process, told["login"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Visit:
    """A page in a browser of its own, and what it did that it should not."""

    page: Page
    violations: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    # What a person does

    def sign_in(self, running: Running, user: str) -> None:
        self.page.goto(running.url)
        self.page.get_by_label("Paste a token").fill(running.token(user))
        self.page.get_by_role("button", name="Sign in").click()
        # Small screens have it in their menu.
        self.page.get_by_role("button", name=re.compile("^(Sign out|Menu)$")).first.wait_for()

    def drop_zip(self, name: str, files: Mapping[str, str], *, until_there: bool = True) -> None:
        held = self.page.evaluate_handle(
            """([name, bytes]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "application/zip"}));
                return transfer;
            }""",
            [f"{name}.zip", list(zipped(files))],
        )
        target = self.page.locator("header").first
        for kind in ("dragenter", "dragover", "drop"):
            target.dispatch_event(kind, {"dataTransfer": held})
        if until_there:
            self.page.get_by_role("heading", name=name, exact=True, level=2).wait_for()

    def launch(self, *, until: str = "Running") -> None:
        self.page.get_by_role("button", name=re.compile("^Launch")).click()
        self.wait_for_state(until)

    def wait_for_state(self, word: str) -> None:
        self.page.get_by_label("Preview", exact=True).get_by_text(word, exact=True).wait_for(timeout=PATIENCE_MS)

    def show_pane(self, name: str) -> None:
        """Press the pane's button, or find it in the menu of those that have no place in the row."""
        button = self.page.get_by_role("group", name="Panes").get_by_role("button", name=name, exact=True)
        more = self.page.get_by_role("button", name="More panes")
        button.or_(more).first.wait_for()
        if button.count() == 0:
            more.click()
            button = self.page.get_by_role("menuitem", name=name, exact=True)
        button.click()

    def pick(self, method: str, path: str) -> None:
        self.page.get_by_role("tab", name=re.compile("^Endpoints")).click()
        self.page.get_by_role("button", name=f"{method} {path}").first.click()

    def send(self) -> None:
        self.page.get_by_role("button", name="Send").click()

    def wait_for_answer(self, said: str = "200 OK") -> None:
        self.page.get_by_role("region", name="Response", exact=True).get_by_text(said).wait_for()

    # What a person sees

    def sees(self, text: str) -> bool:
        shown: str = self.page.locator("[data-log-rows]").inner_text()
        return text in shown.replace("\u00a0", " ")

    def wait_for_line(self, text: str, timeout_ms: float = 20_000) -> None:
        self.page.wait_for_function(
            "text => document.querySelector('[data-log-rows]')?.textContent.replaceAll('\\u00a0', ' ').includes(text)",
            arg=text,
            timeout=timeout_ms,
        )

    def saved_lines(self) -> list[dict[str, Any]]:
        """All lines that the terminal has, as it saves them."""
        self.page.get_by_role("button", name="Export the log").click()
        with self.page.expect_download() as download:
            self.page.get_by_role("menuitem", name="Loaded lines as JSON Lines").click()
        return [json.loads(line) for line in download.value.path().read_text().splitlines()]


@contextmanager
def visit(browser: Browser, *, width: int = 1280, height: int = 800, scheme: str = "dark") -> Iterator[Visit]:
    size: ViewportSize = {"width": width, "height": height}
    chosen: Any = scheme
    context = browser.new_context(viewport=size, color_scheme=chosen, accept_downloads=True)
    context.set_default_timeout(20_000)
    made = Visit(context.new_page())

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text or "Refused to" in message.text:
            made.violations.append(message.text)

    def note(request: Request) -> None:
        if request.url.startswith("http"):
            made.hosts.add(urlsplit(request.url).netloc)

    made.page.on("console", listen)
    made.page.on("pageerror", lambda error: made.violations.append(str(error)))
    made.page.on("request", note)
    try:
        yield made
    except Exception:
        shots = os.environ.get("PREVIEW_TEST_SCREENSHOTS")
        if shots:
            made.page.screenshot(path=Path(shots) / f"{time.monotonic_ns()}.png")
        raise
    finally:
        context.close()


def zipped(files: Mapping[str, str]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return held.getvalue()


def wait_until(condition: Any, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


# What a person notices as lag, on a machine that runs the service and the program beside the browser.
_LONGEST_TASK_MS = 200
_WATCH_TASKS = """() => {
    window.longTasks = [];
    new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((one) => one.duration)))
        .observe({ type: "longtask" });
}"""


def watch_tasks(seen: Visit) -> None:
    """Have the page note its long tasks from now on, for ``responsive``."""
    seen.page.evaluate(_WATCH_TASKS)


@contextmanager
def responsive(seen: Visit, what: str) -> Iterator[None]:
    """No task in this block keeps the page from answering."""
    seen.page.evaluate("() => { window.longTasks.length = 0; }")
    with open_stall_meter() as meter:
        yield
        # The observer is told of a task a moment after it; two frames later it has been.
        seen.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    longest_ms: float = seen.page.evaluate("() => Math.max(0, ...window.longTasks)")
    # Where more wants to run than there are processors, a task is also the time that it waited for one.
    crowding = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    most_ms = _LONGEST_TASK_MS * crowding + meter.longest_ms
    assert longest_ms < most_ms, f"{what}: a task took {longest_ms:.0f} ms; the machine stood for {meter}"
