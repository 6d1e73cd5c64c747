"""A real service as a process of its own, for the tests of the client."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
from migrated import begin_migrated

T = TypeVar("T")


def run_async(function: Callable[[], Awaitable[T]], backend: str) -> T:
    """Run it in a thread of its own: Playwright's loop, of other tests, holds the main one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(partial(anyio.run, function, backend=backend)).result()


PROGRAM = [sys.executable, "-c", "from preview.cli import main; main()"]
# Needs no package, so that no environment is built.
MAIN_PY = """
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # In one piece: a line in pieces may be shown before the rest of it comes.
        print(f"asked for {self.path}\\n", end="", flush=True)
        if self.path == "/boom":
            raise KeyError("missing")
        body = json.dumps({"path": self.path, "mode": os.environ.get("MODE", "none")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def tick():
    for number in range(100000):
        print("tick", number, flush=True)
        time.sleep(0.02)


if os.environ.get("MODE") == "ticking":
    threading.Thread(target=tick, daemon=True).start()
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {"main.py": MAIN_PY, "preview.toml": '[start]\ncommand = ["python", "main.py"]\n'}


@dataclass
class Service:
    """``preview serve`` on one data folder and one port; ``kill`` and ``start`` it again at will."""

    folder: Path
    url: str = ""
    token: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        bind = self.url.removeprefix("http://") or "127.0.0.1:0"
        begin_migrated(self._environment())
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", "--json", "--bind", bind],
            env=self._environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        announced: Any = json.loads(self.process.stdout.readline() or "{}")
        self.url = announced["url"]

    def make_token(self) -> str:
        said = subprocess.run(
            [*PROGRAM, "token", "local"], env=self._environment(), capture_output=True, text=True, check=True
        )
        return said.stdout.strip()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.communicate(timeout=60)

    def _environment(self) -> dict[str, str]:
        own = {"PREVIEW_DATA_DIR": str(self.folder / "data"), "PREVIEW_CACHE_DIR": str(self.folder / "cache")}
        return {**os.environ, **own, "PREVIEW_MAX_INSTANCES_PER_USER": "10"}


@contextmanager
def serving(folder: Path) -> Iterator[Service]:
    service = Service(folder)
    service.start()
    try:
        service.token = service.make_token()
        yield service
    finally:
        service.stop()
