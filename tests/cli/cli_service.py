"""The real program as a process of its own, for the tests of the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrated import begin_migrated

PROGRAM = [sys.executable, "-c", "from preview.cli import main; main()"]

# The first line of ``preview run`` on a machine without a sandbox.
_UNSANDBOXED = "preview: this project runs with all rights of "


def without_remark(said: str) -> str:
    """What ``preview run`` says on any machine."""
    return "".join(line for line in said.splitlines(keepends=True) if not line.startswith(_UNSANDBOXED))


MAIN_PY = """
import os
import sys

from fastapi import FastAPI, Response

app = FastAPI()
print("hello from the app", flush=True)


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/books")
def books(q: str = "") -> dict[str, str]:
    print(f"asked for {q}", file=sys.stderr, flush=True)
    return {"q": q}


@app.post("/echo")
def echo(body: dict) -> dict:
    return body


@app.get("/bytes")
def some_bytes() -> Response:
    return Response(bytes([0, 255, 1]), media_type="application/octet-stream")


@app.get("/acts")
def acts() -> Response:
    text = "\\x1b]0;title\\x07\\x1b]52;c;aGk=\\x07\\x1b[2J\\x9b2J\\u202eevil"
    return Response(text, media_type="text/plain; charset=utf-8")


@app.get("/deep")
def deep() -> Response:
    return Response("[" * 20000 + "]" * 20000, media_type="application/json")


@app.get("/fail", status_code=418)
def fail() -> str:
    return "teapot"


@app.get("/die")
def die() -> None:
    os._exit(3)
"""


def write_project(folder: Path, main: str = MAIN_PY) -> Path:
    folder.mkdir(parents=True)
    (folder / "main.py").write_text(main)
    (folder / "requirements.txt").write_text("fastapi\n")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    return folder


@dataclass(frozen=True)
class Started:
    process: subprocess.Popen[str]
    url: str
    login: str


@contextmanager
def serving(environment: Mapping[str, str], *options: str) -> Iterator[Started]:
    """``preview serve`` until the context is left; then SIGTERM must end it with 0."""
    variables = {**os.environ, **environment}
    if "PREVIEW_DATA_DIR" in variables:
        begin_migrated(variables)
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--json", "--bind", "127.0.0.1:0", *options],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        announced: Any = json.loads(process.stdout.readline() or "{}")
        assert announced, process.communicate(timeout=60)[1]
        yield Started(process, announced["url"], announced["login"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
