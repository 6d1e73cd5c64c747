"""The whole service under each server and in each framework: from a launch to its end, by HTTP."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx2
import psutil
import pytest
from embedding_kit import HERE, PATIENCE_S, RELOADING, SERVERS, Host, change, hosted, reloading, tidy, until

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORKS = ("embed_starlette", "embed_litestar", "embed_django")
FILES = {
    "main.py": "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/')\ndef hello():\n"
    "    print('somebody asks')\n    return {'hello': 'embedded'}\n",
    "requirements.txt": "fastapi\n",
}
ANN = {"X-Host-User": "ann"}
# With these, an open stream does not delay the end.
END_SOON = {
    "uvicorn-asyncio": (),
    "granian": ("--workers-kill-timeout", "1"),
    "hypercorn-asyncio": ("--graceful-timeout", "1"),
    "hypercorn-trio": ("--graceful-timeout", "1"),
}


def mostly_long(servers: Iterable[str], *short: str) -> list[object]:
    """Servers as parameters: all but ``short`` are for ``pytest -m long``."""
    return [one if one in short else pytest.param(one, marks=pytest.mark.long) for one in servers]


# Ports of its own for each process of pytest: a port that one test has given back is not another's.
_PORTS = 20
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 5


@pytest.fixture
def variables(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {
        "PREVIEW_DATA_DIR": str(tmp_path / "data"),
        "PREVIEW_CACHE_DIR": str(tmp_path_factory.getbasetemp().parent / "preview-http-cache"),
        "PREVIEW_PORT_MIN": str(24401 + _PROCESS * _PORTS),
        "PREVIEW_PORT_MAX": str(24400 + _PROCESS * _PORTS + _PORTS),
        "PREVIEW_STOP_GRACE": "1",
        "PYTHONPATH": str(EXAMPLES),
    }


def launched(host: Host, prefix: str, headers: Mapping[str, str], generation: str | None = None) -> dict[str, str]:
    """Launch a preview, call it, and read its line back."""
    api = f"{prefix}/api/v1"
    if generation is None:
        made = host.client.post(f"{api}/generations", json={"files": FILES}, headers=headers)
        assert made.status_code == 201, made.text
        generation = made.json()["id"]
    base = f"{api}/generations/{generation}/preview"
    answer = host.client.post(f"{base}/launch", headers=dict(headers) | {"Prefer": "wait=60"})
    assert (answer.status_code, answer.json().get("status")) == (201, "running"), answer.text + host.text()
    token = {"X-Preview-Token": answer.json()["session_token"]}
    said = host.client.post(f"{base}/request", json={"method": "GET", "path": "/"}, headers=dict(headers) | token)
    assert "hello" in said.json()["body"]
    until(
        lambda: "somebody" in host.client.get(f"{base}/logs/stream?follow=false", headers=headers).text,
        "the line never came",
    )
    found: dict[str, str] = answer.json() | {"generation": generation, "base": base}
    return found


def gone(found: Mapping[str, str]) -> bool:
    """Nothing listens any more where the preview did."""
    try:
        httpx2.get(found["base_url"], trust_env=False)
    except httpx2.HTTPError:
        return True
    return False


@pytest.mark.parametrize("framework", mostly_long(FRAMEWORKS, "embed_starlette", "embed_django"))
def test_mounted_in_a_framework(framework: str, tmp_path: Path, variables: Mapping[str, str]) -> None:
    with hosted("uvicorn-asyncio", f"{framework}:app", tmp_path, **variables) as host:
        assert host.client.get("/preview/api/v1/previews").status_code == 401
        found = launched(host, "/preview", ANN)
        assert host.client.get("/").json() == {"previews": 1}
        assert host.client.delete(found["base"], headers=ANN).status_code == 204
        until(lambda: gone(found), "it still listens")
        assert host.stop() in {0, -2}


@pytest.mark.parametrize(
    "server", mostly_long((one for one in SERVERS if one != "gunicorn-preload"), "uvicorn-asyncio", "hypercorn-trio")
)
def test_the_example_of_fastapi_under_each_server(server: str, tmp_path: Path, variables: Mapping[str, str]) -> None:
    # Its generations and its authentication run in the host's library.
    with hosted(server, "embed_fastapi:app", tmp_path, **variables) as host:
        found = launched(host, "/preview", ANN, "hello")
        bob = host.client.get(f"{found['base']}/status", headers={"X-Host-User": "bob"})
        assert bob.status_code == 403
        # Not stopped first: the end of the host stops it.
        host.stop()
        assert gone(found)
        assert "Task was destroyed" not in host.text()
        assert "Traceback" not in tidy(host.text())


def test_alone_under_uvicorn_with_the_lifespan(tmp_path: Path, variables: Mapping[str, str]) -> None:
    with hosted("uvicorn-uvloop", "preview.asgi:app", tmp_path, **variables) as host:
        assert host.client.get("/readyz").json() == {"status": "ready"}
        assert host.client.get("/", headers={"Accept": "text/html"}).status_code == 200


@pytest.mark.parametrize("app", ["bridged_app:app", pytest.param("preview.asgi:app", marks=pytest.mark.long)])
def test_hypercorns_trio_worker_answers_1100_requests_of_a_connection_and_32_connections(
    app: str, tmp_path: Path, variables: Mapping[str, str]
) -> None:
    # It closes a connection after 1,000 requests, and says so in the last answer.
    closed: list[int] = []
    paths = dict(variables) | {"PYTHONPATH": str(HERE)}
    with hosted("hypercorn-trio", app, tmp_path, **paths) as host, ExitStack() as lines:
        line = lines.enter_context(_connected(host))
        for number in range(1, 1101):
            if b"connection: close" in _healthy([line]).lower():
                assert line.recv(1) == b""
                closed.append(number)
                line = lines.enter_context(_connected(host))
        assert len(closed) == 1
        many = [lines.enter_context(_connected(host)) for _ in range(32)]
        for _ in range(5):
            _healthy(many)


def _connected(host: Host) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", int(host.url.rpartition(":")[2])), timeout=PATIENCE_S)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _healthy(lines: Sequence[socket.socket]) -> bytes:
    """Ask on all connections at once; the last answer, when all have come."""
    for line in lines:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = b""
    for line in lines:
        answer = b""
        while not answer.endswith(b"}"):
            more = line.recv(4096)
            assert more, answer
            answer += more
    return answer


def test_a_killed_host_leaves_nothing(tmp_path: Path, variables: Mapping[str, str]) -> None:
    with hosted("uvicorn-asyncio", "embed_fastapi:app", tmp_path, **variables) as host:
        found = launched(host, "/preview", ANN, "hello")
        ours = psutil.Process(host.process.pid).children(recursive=True)
        host.process.kill()
        host.process.wait()
        _, alive = psutil.wait_procs(ours, timeout=30)
        assert alive == []
        assert gone(found)


@pytest.mark.parametrize("server", mostly_long(RELOADING, "uvicorn-asyncio"))
def test_a_reload_of_the_server_opens_the_service_again(
    server: str, tmp_path: Path, variables: Mapping[str, str]
) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    program = watched / "embedded_here.py"
    source = (EXAMPLES / "embed_fastapi.py").read_text()
    program.write_text(source)
    options = reloading(server, watched)
    with hosted(
        server, "embedded_here:app", tmp_path, *options, **dict(variables) | {"PYTHONPATH": str(watched)}
    ) as host:
        first = launched(host, "/preview", ANN, "hello")
        second = source.replace("its own routes work as ever", "a second edition")
        change(host, server, program, second, lambda: "a second edition" in _text(host))
        assert gone(first)
        launched(host, "/preview", ANN, "hello")
        children = psutil.Process(host.process.pid).children(recursive=True)
        host.interrupt()
        host.process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert alive == []


@pytest.mark.parametrize("server", mostly_long(END_SOON, "granian"))
def test_two_interrupts_leave_nothing_although_a_stream_is_open(
    server: str, tmp_path: Path, variables: Mapping[str, str]
) -> None:
    with hosted(server, "embed_fastapi:app", tmp_path, *END_SOON[server], **variables) as host:
        found = launched(host, "/preview", ANN, "hello")
        with host.client.stream("GET", f"{found['base']}/logs/stream", headers=ANN) as stream:
            next(stream.iter_raw())
            children = psutil.Process(host.process.pid).children(recursive=True)
            host.interrupt()
            host.interrupt()
            host.process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert alive == []
        assert gone(found)


def _asked(host: Host) -> httpx2.Response:
    return httpx2.get(f"{host.url}/preview/readyz", trust_env=False)


def _text(host: Host) -> str:
    try:
        return host.client.get("/").text
    except httpx2.HTTPError:
        return ""


def test_the_second_worker_of_a_host_says_what_to_do(tmp_path: Path, variables: Mapping[str, str]) -> None:
    with hosted("uvicorn-asyncio", "embed_fastapi:app", tmp_path, "--workers", "2", **variables) as host:
        until(lambda: host.text().count("Application startup complete") >= 2, "a worker did not start")
        # The host's own routes answer in both.
        assert all(httpx2.get(host.url, trust_env=False).status_code == 200 for _ in range(10))
        assert "one worker process" in tidy(host.text())
        refused = next(one for one in iter(lambda: _asked(host), None) if one.status_code == 503)
        assert "one worker process" in refused.json()["detail"]
        os.kill(host.process.pid, signal.SIGTERM)
        host.process.wait(60)
