"""Provoke real tracebacks: run small programs that fail, and store their output with labels as test fixtures.

Needs a folder with a Python environment (``py``) and a Node project (``node``) that have the frameworks:

    uv venv ENV/py && uv pip install -p ENV/py fastapi uvicorn flask django sqlalchemy loguru structlog rich …
    cd ENV/node && npm install express pino winston tsx typescript ts-node fastify koa
    uv run python scripts/tracebacks.py ENV PROGRAMS.toml FIXTURES.json.xz [CAUSE …]

Each fixture has the output's lines, the cause that its program was written for, and the deepest own line. Paths of this
machine are replaced.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

PROJECT = "/srv/project"
MARK = "@@"
_PADDINGS = (0, 4, 11, 7)
_OWN_FRAME = re.compile(rf'File "{PROJECT}/([^"]+)", line (\d+)')
_START_S, _REST_S, _RUN_S = 20.0, 0.8, 30.0
_SCRIPTS = ("script", "start")


def main() -> None:
    """Run all programs of a file, and write the fixtures."""
    tools, programs, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2]), Path(sys.argv[3])
    causes = tomllib.loads(programs.read_text())
    wanted = sys.argv[4:] or list(causes)
    jobs = [(name, causes, number) for name in wanted for number in range(len(_PADDINGS))]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda job: _provoke(tools, *job), jobs))
    for one in found:
        if not any("rror" in line or "xception" in line for line in one["lines"]):
            print("no error in", one["cause"], one["variant"], one["lines"][-5:])
    if len(wanted) < len(causes):
        found += [one for one in json.loads(lzma.decompress(target.read_bytes())) if one["cause"] not in wanted]
    text = json.dumps(found, ensure_ascii=False, indent=0)
    target.write_bytes(lzma.compress(text.encode(), preset=9))
    print(len(found), "tracebacks of", len(causes), "causes,", target.stat().st_size, "bytes")


def _provoke(tools: Path, name: str, causes: dict[str, Any], number: int) -> dict[str, Any]:
    cause = causes[name]
    files = causes[cause.get("like", name)]["files"]
    is_python = cause["runner"] not in ("node", "tsx", "ts-node")
    with tempfile.TemporaryDirectory(prefix="tb-") as made:
        folder = Path(made)
        frame = _write(folder, files, number, is_python=is_python)
        if not is_python:
            (folder / "node_modules").symlink_to(tools / "node/node_modules")
            if cause["runner"] == "ts-node":
                (folder / "tsconfig.json").write_text('{"compilerOptions": {"esModuleInterop": true}}')
        paths = cause["paths"]
        output = _run(tools, folder, cause["runner"], paths[number % len(paths)], cause.get("environment", {}))
        sources = {path: (folder / path).read_text() for path in files}
    lines = [_clean(line, folder, tools) for line in output.splitlines()]
    if cause.get("place") == "printed":
        # Chance decides which function of a recursion is the deepest.
        frame = [[match[1], int(match[2])] for line in lines if (match := _OWN_FRAME.search(line))][-1]
    return {"cause": name, "variant": number, "frame": frame, "sources": sources, "lines": lines}


def _write(folder: Path, files: dict[str, str], number: int, *, is_python: bool) -> list[Any]:
    """Write the program's files; return path and line of the marked line."""
    found: list[Any] = []
    for path, text in files.items():
        word = "" if path.endswith(".html") else "# " if is_python else "// "
        padding = "\n".join(f"{word}line {at}" for at in range(_PADDINGS[number]))
        body = text.lstrip("\n").replace("PAD", padding)
        for at, line in enumerate(body.splitlines(), 1):
            if line.endswith(MARK):
                found = [path, at]
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(re.sub(rf" *{MARK}$", "", body, flags=re.MULTILINE))
    return found


def _run(tools: Path, folder: Path, runner: str, path: str, further: dict[str, str]) -> str:
    python, port = str(tools / "py/bin/python"), _free_port()
    commands = {
        "script": [python, "main.py", path],
        "flask": [python, "main.py"],
        "django": [python, "main.py"],
        "uvicorn": [python, "-m", "uvicorn", "main:app", "--port", str(port), "--no-use-colors"],
        "gunicorn": [python, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "--threads", "2", "main:app"],
        "node": ["node", "server.js", path],
        "tsx": ["node_modules/.bin/tsx", "server.ts"],
        "ts-node": ["node_modules/.bin/ts-node", "--transpile-only", "server.ts"],
    }
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "PORT": str(port), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "120", **further,
    }  # fmt: skip
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            commands[runner], cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            if runner in _SCRIPTS or not path.startswith("/"):
                process.wait(_RUN_S)
            elif _wait_for(process, port):
                _ask(port, path)
                time.sleep(_REST_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return output.read().decode("utf-8", "replace")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.05)
    return False


def _ask(port: int, path: str) -> None:
    with contextlib.suppress(OSError, urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()


def _clean(line: str, folder: Path, tools: Path) -> str:
    for path in dict.fromkeys((str(folder.resolve()), str(folder))):
        line = line.replace(path, PROJECT)
    line = line.replace(str(tools / "node/node_modules"), f"{PROJECT}/node_modules")
    line = line.replace(str(tools / "py"), "/srv/environment")
    return re.sub(r"/[\w./-]*?/lib/python3\.11/(?!site-packages)", "/usr/lib/python3.11/", line)


if __name__ == "__main__":
    if shutil.which("node") is None:
        sys.exit("there is no node")
    main()
