"""A real service in a process of its own, with generations and a preview that runs, for requests of any kind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from preview.auth import issue_token
from preview.settings import load_settings

PROGRAM = [sys.executable, "-c", "from preview.cli import main; main()"]
SECRET = "a secret of the tests, of at least 32 bytes"
PATIENCE_S = 60

# The standard library only: its environment is made in a moment.
BACKEND = '''
import json
import threading
import time


def talk():
    """So that no log stream stays silent for long."""
    while True:
        time.sleep(0.1)
        print("tick", flush=True)


threading.Thread(target=talk, daemon=True).start()


def app(environ, start_response):
    """Answers anything with what came."""
    content = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    said = json.dumps({"method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"], "size": len(content)})
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(said)))])
    return [said.encode()]
'''
FILES = {
    "main.py": BACKEND,
    "preview.toml": '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n',
}
# Says how to start something that is not there: launching it fails before anything runs.
BROKEN = {"notes.txt": "nothing to run"}
_UNEXPECTED = re.compile(r"unexpected error|connection failed|Traceback")


@dataclass(frozen=True)
class World:
    """A running service, what it holds, and who asks.

    Attributes:
        url: Where it listens.
        live: Ann's generation whose preview runs.
        spare: Ann's, to be launched, stopped and deleted.
        idle: Ann's, never launched.
        broken: Ann's, cannot be launched.
        foreign: Ben's.
        preview_id: The preview that runs.
        preview_token: That preview's.
        log: What the service logs.
    """

    url: str
    client: httpx2.Client
    log: Path
    live: str = ""
    spare: str = ""
    idle: str = ""
    broken: str = ""
    foreign: str = ""
    preview_id: str = ""
    preview_token: str = ""

    def keep(self, files: dict[str, str], user: str = "ann") -> str:
        """A new generation of these files."""
        return str(self.ask("POST", "/api/v1/generations", {"files": files}, user=user, status=201)["id"])

    def ask(self, method: str, path: str, body: Any = None, *, user: str = "ann", status: int, **headers: str) -> Any:
        """The answer's JSON, which must have this status."""
        fields = {"Authorization": f"Bearer {token(user)}", **headers}
        answer = self.client.request(method, path, json=body, headers=fields)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def mishaps(self) -> list[str]:
        """Lines of the service's log that tell of something nobody raised on purpose."""
        return [line for line in self.log.read_text().splitlines() if _UNEXPECTED.search(line)]


def token(user: str) -> str:
    """A bearer token of this user's."""
    return issue_token(load_settings(), SECRET, user, tier="enterprise", ttl_s=3600)


@contextmanager
def open_world(folder: Path, cache: Path) -> Iterator[World]:
    """The service with all that a ``World`` names; ended by SIGTERM, upon which it must end with 0."""
    settings = {
        "PREVIEW_DATA_DIR": str(folder / "data"),
        "PREVIEW_CACHE_DIR": str(cache),
        "PREVIEW_JWT_SECRET": SECRET,
        "PREVIEW_PORT_MIN": "24001",
        "PREVIEW_PORT_MAX": "24100",
        "PREVIEW_STOP_GRACE": "0.5",
        # Nothing answers there: no test asks a server on the internet.
        "PREVIEW_GITHUB_URL": "http://127.0.0.1:9",
        "PREVIEW_GENERATIONS_PER_USER": "100000",
        "PREVIEW_LAUNCHES_PER_MINUTE": "100000",
        "PREVIEW_MAX_STREAMS_PER_USER": "100",
        "PREVIEW_SERVICE_LOG_FORMAT": "json",
    }
    log = folder / "service.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--json", "--bind", "127.0.0.1:0"],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    try:
        announced: Any = json.loads(process.stdout.readline() or "{}")
        assert announced, log.read_text()
        with httpx2.Client(base_url=announced["url"], trust_env=False, timeout=PATIENCE_S) as client:
            yield _filled(World(announced["url"], client, log))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
    assert code == 0, log.read_text()


def _filled(empty: World) -> World:
    live = empty.keep(FILES)
    path = f"/api/v1/generations/{live}/preview/launch"
    launched = empty.ask("POST", path, {}, status=201, Prefer=f"wait={PATIENCE_S}")
    return replace(
        empty,
        live=live,
        spare=empty.keep(FILES),
        idle=empty.keep(FILES),
        broken=empty.keep(BROKEN),
        foreign=empty.keep(FILES, "ben"),
        preview_id=launched["id"],
        preview_token=launched["session_token"],
    )
