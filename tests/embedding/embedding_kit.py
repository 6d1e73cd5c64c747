"""ASGI servers as processes: the real programs, each with an application of this folder."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

HERE = Path(__file__).parent
PATIENCE_S = 60
SCRIPTS = Path(sys.executable).parent

SERVERS: Mapping[str, Sequence[str]] = {
    "uvicorn-asyncio": ("uvicorn", "--loop", "asyncio", "--host", "127.0.0.1", "--port", "PORT", "APP"),
    "uvicorn-uvloop": ("uvicorn", "--loop", "uvloop", "--host", "127.0.0.1", "--port", "PORT", "APP"),
    "gunicorn": (
        "gunicorn", "--graceful-timeout", "10", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:PORT", "APP",
    ),
    "gunicorn-preload": (
        "gunicorn", "--preload", "--graceful-timeout", "10", "-k", "uvicorn_worker.UvicornWorker",
        "-b", "127.0.0.1:PORT", "APP",
    ),
    "granian": ("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "PORT", "APP"),
    "hypercorn-asyncio": ("hypercorn", "-k", "asyncio", "-b", "127.0.0.1:PORT", "APP"),
    "hypercorn-trio": ("hypercorn", "-k", "trio", "-b", "127.0.0.1:PORT", "APP"),
}  # fmt: skip

# Options with which a server reloads upon a change in a folder, which must not have its log.
RELOADING: Mapping[str, Sequence[str]] = {
    "uvicorn-asyncio": ("--reload", "--reload-dir", "WATCHED"),
    "uvicorn-uvloop": ("--reload", "--reload-dir", "WATCHED"),
    # Its workers of uvicorn heed no change of a file; SIGHUP replaces them.
    "gunicorn": (),
    "granian": ("--reload", "--reload-paths", "WATCHED"),
    "hypercorn-asyncio": ("--reload",),
    "hypercorn-trio": ("--reload",),
}


@dataclass
class Host:
    """A server that runs, or ran."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    client: httpx2.Client = field(repr=False)

    def text(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def interrupt(self) -> None:
        """Press Ctrl-C: a terminal signals the server and all of its workers."""
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self, by: signal.Signals = signal.SIGINT) -> int:
        """Signal it, and return its exit code."""
        self.process.send_signal(by)
        return self.process.wait(PATIENCE_S)


def change(host: Host, server: str, program: Path, content: str, seen: Callable[[], bool]) -> None:
    """Change a program until its server has noticed: a server answers before it watches its files."""
    deadline = time.monotonic() + PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline, "the server did not reload"
        program.write_text(content)
        if server == "gunicorn":
            host.process.send_signal(signal.SIGHUP)
        content += "\n"
        again = time.monotonic() + 5
        while not seen() and time.monotonic() < again:
            time.sleep(0.1)


def reloading(server: str, watched: Path) -> list[str]:
    return [one.replace("WATCHED", str(watched)) for one in RELOADING[server]]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def until(condition: object, what: str) -> None:
    """Ask a function again until it returns something true."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextmanager
def hosted(server: str, app: str, folder: Path, *options: str, **variables: str) -> Iterator[Host]:
    """Run a server with an application, until its first answer; ended with the block."""
    port = free_port()
    name, *words = (one.replace("PORT", str(port)).replace("APP", app) for one in SERVERS[server])
    log = folder / f"{server}.log"
    environment = os.environ | {"PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"} | variables
    with (
        log.open("wb") as out,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client,
    ):
        process = subprocess.Popen(
            [SCRIPTS / name, *words, *options], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        host = Host(process, f"http://127.0.0.1:{port}", log, client)
        try:
            until(lambda: answers(client) or process.poll() is not None, "the server never answered")
            assert process.poll() is None, host.text()
            yield host
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE_S / 4)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def answers(client: httpx2.Client) -> bool:
    try:
        client.get("/")
    except httpx2.HTTPError:
        return False
    return True


def tidy(text: str) -> str:
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
