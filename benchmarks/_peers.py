"""Servers of one event stream, each as its own processes on free ports of loopback, gone when its block is left.

All get the same lines from the same program (`_printer.py`) and send the same fields in each event. It prints into a
pipe that the server reads; only nchan has no such way in, so there the program posts each line itself.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import psutil
from _caches import use_usual_caches
from _peer_programs import NGINX_CONF, NODE_PROGRAM, STARLETTE_PROGRAM, STARLETTE_REQUIREMENTS

from preview.auth import issue_token, load_or_create_secret
from preview.settings import Settings

__all__ = ["FILTERED", "NOT_DIRECT", "Missing", "Opener", "Peer", "open_hosted", "openers"]

_PRINTER = Path(__file__).with_name("_printer.py")
_PRINTING: list[str | Path] = [sys.executable, "-I", "-S", _PRINTER]
_BARE_SENDER = Path(__file__).with_name("_bare_sender.py")
# Beside the interpreter that runs this.
_PREVIEW = Path(sys.executable).with_name("preview")
NOT_DIRECT = "preview, not direct"
FILTERED = "preview, filtered"
# All printed lines pass, so that as many are delivered; each is compared with all four terms.
_FILTER = "-path:/health (status:2xx OR error) items"
_START_S = 60.0
_END_S = 10.0
_USER = "ann"
# The kernel's exact clock of a process (CPUCLOCK_SCHED); /proc/PID/stat counts in steps of 10 ms.
_SCHED = 2
# Nothing of it may end a run: time limits, and how many streams one user may have.
_SETTINGS = {
    "PREVIEW_MAX_STREAMS_PER_USER": "100000",
    "PREVIEW_MAX_CONNECTIONS": "100000",
    "PREVIEW_WARM_TEMPLATES": "0",
    "PREVIEW_SERVICE_LOG_FORMAT": "json",
}


class Missing(Exception):
    """This machine has no such server; says how to get it."""


@dataclass
class Peer:
    """A server that runs, with a program whose lines it sends.

    Attributes:
        port: Where it listens, on loopback.
        request: The bytes that ask for its stream.
        control: Where the program takes orders.
        pids: The server's own processes, without the program's.
    """

    port: int
    request: bytes
    control: int
    pids: Sequence[int] = field(default=())

    def print_lines(self, first: int, lines: int, rate: float) -> None:
        """Let the program print, at ``rate`` per second; 0 is as fast as it can."""
        url = f"http://127.0.0.1:{self.control}/print?first={first}&lines={lines}&rate={rate}"
        with urllib.request.urlopen(url, timeout=_START_S):
            pass

    def cpu_s(self) -> float:
        """What its processes have used so far, all their threads (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime(~pid << 3 | _SCHED) for pid in self.pids)

    def memory_bytes(self) -> int:
        """Its processes' resident memory; what they share is divided among those who do."""
        return sum(psutil.Process(pid).memory_full_info().pss for pid in self.pids)


Opener = Callable[[], AbstractContextManager[Peer]]


def openers(isolation: str) -> dict[str, Opener]:
    """Each server by its name; they may have as many files open as this process."""
    named: dict[str, Opener] = {
        "bare sender": _open_bare,
        "nchan": _open_nchan,
        "preview": partial(_open_preview, isolation, {}),
        FILTERED: partial(_open_preview, isolation, {}, _FILTER),
    }
    if "direct_streams" in Settings.model_fields:
        named[NOT_DIRECT] = partial(_open_preview, isolation, {"PREVIEW_DIRECT_STREAMS": "false"})
    return {**named, "Node": _open_node, "Starlette": _open_starlette}


def _get(path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Accept: text/event-stream", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens there."""
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen at {port}")


@contextmanager
def _running(
    argv: Sequence[str | Path],
    folder: Path,
    variables: Mapping[str, str] = MappingProxyType({}),
    *,
    stdin: int | None = None,
    stdout: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which hears of Ctrl-C from here; what it says stands in ``said.txt``."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    with (folder / "said.txt").open("ab") as said:
        process = subprocess.Popen(
            [str(part) for part in argv],
            cwd=folder,
            env={**inherited, **variables},
            start_new_session=True,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=said if stdout is None else stdout,
            stderr=said,
        )
    try:
        yield process
    finally:
        started: list[psutil.Process | subprocess.Popen[bytes]] = [process, *_descendants(process.pid)]
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        for one in started:
            # A process that has ended and whose number is another's now is left alone.
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def _descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="preview-streams-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _open_piped(argv: Sequence[str | Path], folder: Path) -> Iterator[Peer]:
    """A server that takes its port as the last argument, and lines from stdin."""
    port, control = _free_port(), _free_port()
    reading, writing = os.pipe()
    with ExitStack() as stack:
        try:
            server = stack.enter_context(_running([*argv, str(port)], folder, stdin=reading))
            program = stack.enter_context(_running(_PRINTING, folder, {"PORT": str(control)}, stdout=writing))
        finally:
            os.close(reading)
            os.close(writing)
        _wait_for(port, server)
        _wait_for(control, program)
        yield Peer(port, _get("/stream"), control, [server.pid])


@contextmanager
def _open_bare() -> Iterator[Peer]:
    with _folder() as folder, _open_piped([sys.executable, _BARE_SENDER], folder) as peer:
        yield peer


@contextmanager
def _open_node() -> Iterator[Peer]:
    node = shutil.which("node")
    if node is None:
        raise Missing("no `node` on the PATH")
    with _folder() as folder:
        (folder / "server.js").write_text(NODE_PROGRAM)
        with _open_piped([node, "server.js"], folder) as peer:
            yield peer


@contextmanager
def _open_starlette() -> Iterator[Peer]:
    use_usual_caches()
    with _folder() as folder:
        (folder / "server.py").write_text(STARLETTE_PROGRAM)
        python = folder / "venv" / "bin" / "python"
        for command in (
            ["uv", "venv", "-q", "venv"],
            ["uv", "pip", "install", "-q", "--python", str(python), *STARLETTE_REQUIREMENTS],
        ):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Missing(f"its packages cannot be had: {done.stderr.strip().splitlines()[-1]}")
        with _open_piped([python, "server.py"], folder) as peer:
            yield peer


@contextmanager
def _open_nchan() -> Iterator[Peer]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True).stderr if nginx else ""
    modules = re.search(r"--modules-path=(\S+)", built)
    module = Path(modules[1] if modules else "/usr/lib/nginx/modules") / "ngx_nchan_module.so"
    if nginx is None or not module.exists():
        raise Missing("no nginx with nchan (on Debian: apt-get install nginx libnginx-mod-nchan)")
    port, control = _free_port(), _free_port()
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with _folder() as folder, ExitStack() as stack:
        (folder / "nginx.conf").write_text(
            NGINX_CONF.format(folder=folder, module=module, port=port, files=files, connections=files - 100)
        )
        argv: list[str | Path] = [nginx, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
        server = stack.enter_context(_running(argv, folder))
        _wait_for(port, server)
        program = stack.enter_context(_running(_PRINTING, folder, {"PORT": str(control), "POST_TO": f"{port}/publish"}))
        _wait_for(control, program)
        workers = [child.pid for child in psutil.Process(server.pid).children()]
        yield Peer(port, _get("/stream"), control, [server.pid, *workers])


@contextmanager
def _open_preview(isolation: str, settings: Mapping[str, str], chosen: str = "") -> Iterator[Peer]:
    use_usual_caches()
    with _folder() as folder:
        argv: list[str | Path] = [_PREVIEW, "serve", "--json", "--bind", "127.0.0.1:0"]
        with _running(argv, folder, _variables(folder, isolation, settings), stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            said = server.stdout.readline()
            if not said:
                raise RuntimeError(f"the service did not start: {(folder / 'said.txt').read_text()}")
            yield _launch(str(json.loads(said)["url"]), _token(folder), _pids(server.pid), chosen)


@contextmanager
def open_hosted(isolation: str, *argv: str) -> Iterator[Peer]:
    """The service in another server: ``argv`` is its command, without the port and the application."""
    use_usual_caches()
    port = _free_port()
    with _folder() as folder:
        command: list[str | Path] = [_PREVIEW.with_name(argv[0]), *argv[1:], "--port", str(port), "preview.asgi:app"]
        with _running(command, folder, _variables(folder, isolation, {})) as server:
            _wait_for(port, server)
            yield _launch(f"http://127.0.0.1:{port}", _token(folder), _pids(server.pid), "")


def _variables(folder: Path, isolation: str, settings: Mapping[str, str]) -> Mapping[str, str]:
    return {
        **_SETTINGS,
        **settings,
        "PREVIEW_DATA_DIR": str(folder / "data"),
        "PREVIEW_CACHE_DIR": str(folder / "cache"),
        "PREVIEW_ISOLATION": isolation,
    }


def _token(folder: Path) -> str:
    owner = Settings(data_dir=folder / "data")
    return issue_token(owner, load_or_create_secret(owner), _USER, tier="enterprise", ttl_s=3600)


def _pids(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _launch(url: str, token: str, pids: Sequence[int], chosen: str) -> Peer:
    """A preview of the printing program, and its stream with a filter."""

    def ask(method: str, path: str, body: object) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Prefer": "wait=60"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=_START_S) as answer:
                read: dict[str, str] = json.load(answer)
                return read
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode()}") from error

    files = {"main.py": _PRINTER.read_text(), "preview.toml": '[start]\ncommand = "python main.py"\n'}
    generation = ask("POST", "/api/v1/generations", {"project_id": "benchmark", "files": files})["id"]
    path = f"/api/v1/generations/{generation}/preview"
    base_url = ask("POST", f"{path}/launch", {})["base_url"]
    port = int(url.rpartition(":")[2])
    stream = _get(f"{path}/logs/stream?tail=0&filter={quote(chosen)}", f"Authorization: Bearer {token}")
    return Peer(port, stream, int(base_url.rpartition(":")[2]), pids)
