"""A real service as a client of the original documents meets it, and the shapes that its answers must have."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from cli_service import serving
from document_shapes import SHAPES

from preview.auth import issue_token
from preview.settings import load_settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECRET = "a secret of the tests, of at least 32 bytes"
PATIENCE_S = 90
# Each worker has ports of its own; the last is the only one of the narrow service.
FIRST_PORT = 24_801 + 50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
LAST_PORT = FIRST_PORT + 49
PREFIXES = {"plan": "/api/generations", "v1": "/api/v1/generations"}

MAIN_PY = '''
import os
import time

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
print("started", flush=True)


class Book(BaseModel):
    name: str


@app.get("/health")
def health():
    return {"ok": True}


@app.get("/books", tags=["books"])
def books(page: int = 1):
    """List all books."""
    print(f"page {page}", flush=True)
    return {"page": page}


@app.post("/books", status_code=201)
def add(book: Book) -> Book:
    return book


@app.get("/environment")
def environment():
    return dict(os.environ)


@app.get("/api/users")
def users(limit: int):
    print("the users", flush=True)
    return {"limit": limit}


@app.get("/slow")
def slow():
    time.sleep(20)
'''
FILES = {"main.py": MAIN_PY, "requirements.txt": "fastapi\n"}


@dataclass(frozen=True)
class DocumentsClient:
    """Requests of any user to a running service."""

    url: str
    client: httpx2.Client

    def token(self, user: str) -> str:
        return issue_token(load_settings(), SECRET, user, tier=None, ttl_s=600)

    def ask(
        self, method: str, path: str, body: Any = None, *, user: str | None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        fields = {} if user is None else {"Authorization": f"Bearer {self.token(user)}"}
        return self.client.request(method, path, json=body, headers=fields | dict(headers or {}))

    def keep(self, user: str, files: Mapping[str, str] = FILES, project: str | None = None) -> str:
        """The id of a new generation; a project of the user's own unless one is named."""
        body = {"project_id": project or f"proj_{user}", "files": dict(files)}
        answer = self.ask("POST", "/api/v1/generations", body, user=user)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def launch(self, user: str, generation: str) -> dict[str, Any]:
        """Launch, and wait until it is healthy (contract ``v1``)."""
        path = f"{PREFIXES['v1']}/{generation}/preview/launch"
        answer = self.ask("POST", path, {}, user=user, headers={"Prefer": "wait=60"})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def stop(self, user: str, generation: str) -> None:
        answer = self.ask("DELETE", f"{PREFIXES['v1']}/{generation}/preview", user=user)
        assert answer.status_code == 204, answer.text


@dataclass(frozen=True)
class Live:
    """A preview that runs."""

    user: str
    generation: str
    preview: str
    token: str

    def path(self, contract: str, rest: str) -> str:
        return f"{PREFIXES[contract]}/{self.generation}{rest}"


def launch_live(service: DocumentsClient, user: str) -> Live:
    generation = service.keep(user)
    made = service.launch(user, generation)
    return Live(user, generation, made["id"], made["session_token"])


@contextmanager
def open_documents_service(folder: Path, cache: Path, **settings: str) -> Iterator[DocumentsClient]:
    """``preview serve`` with default settings, but for folders, ports and a short grace period."""
    environment = {
        "PREVIEW_DATA_DIR": str(folder / "data"),
        "PREVIEW_CACHE_DIR": str(cache),
        "PREVIEW_JWT_SECRET": SECRET,
        "PREVIEW_PORT_MIN": str(FIRST_PORT),
        "PREVIEW_PORT_MAX": str(LAST_PORT - 1),
        "PREVIEW_STOP_GRACE": "0.5",
        "PREVIEW_WARM_TEMPLATES": "0",
        # Nobody reads what it logs.
        "PREVIEW_SERVICE_LOG_LEVEL": "ERROR",
        **settings,
    }
    with (
        serving(environment) as started,
        httpx2.Client(base_url=started.url, trust_env=False, timeout=PATIENCE_S) as client,
    ):
        yield DocumentsClient(started.url, client)


def differences(name: str, answer: Any) -> list[str]:
    """How an answer differs from the shape of this name; further keys only as ``docs/differences.md`` lists them."""
    shape = SHAPES[name]
    if isinstance(shape, dict) and isinstance(answer, dict):
        shape = dict.fromkeys(further_keys().get(name, ()), Any) | shape
    return list(_differences(shape, answer, name))


def further_keys() -> dict[str, list[str]]:
    """Keys beside those of the documents, by answer."""
    text = (DOCS / "differences.md").read_text().partition("## Further keys")[2]
    rows = re.findall(r"^\| ([a-z0-9 ]+) \| (`.*`) \|", text, re.MULTILINE)
    return {name: re.findall(r"`(\w+)`", keys) for name, keys in rows}


def _differences(shape: Any, value: Any, at: str) -> Iterator[str]:
    if shape is Any:
        return
    if isinstance(shape, tuple):  # one of these
        if all(list(_differences(one, value, at)) for one in shape):
            yield f"{at}: {value!r} is none of {shape}"
    elif isinstance(shape, re.Pattern):
        if not isinstance(value, str) or shape.fullmatch(value) is None:
            yield f"{at}: {value!r} is not like {shape.pattern}"
    elif isinstance(shape, type):
        if not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
            yield f"{at}: {value!r} is no {shape.__name__}"
    elif isinstance(shape, dict) and isinstance(value, dict):
        if shape.keys() != value.keys():
            yield f"{at}: missing {sorted(shape.keys() - value.keys())}, more {sorted(value.keys() - shape.keys())}"
        for key in shape.keys() & value.keys():
            yield from _differences(shape[key], value[key], f"{at}.{key}")
    elif isinstance(shape, list) and isinstance(value, list):
        if len(shape) != 1 or not value:
            if shape != value:
                yield f"{at}: {value!r} is not {shape!r}"
        else:
            for number, one in enumerate(value):
                yield from _differences(shape[0], one, f"{at}[{number}]")
    elif shape != value:
        yield f"{at}: {value!r} is not {shape!r}"
