"""The whole service under each server and in each framework: from a launch to its end, by HTTP."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

import httpx2
import psutil
import pytest
from embedding_kit import SERVERS, Host, hosted, tidy, until

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMEWORKS = ("embed_starlette", "embed_litestar", "embed_django")
FILES = {
    "main.py": "from fastapi import FastAPI\napp = FastAPI()\n\n@app.get('/')\ndef hello():\n"
    "    print('somebody asks')\n    return {'hello': 'embedded'}\n",
    "requirements.txt": "fastapi\n",
}
ANN = {"X-Host-User": "ann"}


@pytest.fixture
def variables(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return {
        "PREVIEW_DATA_DIR": str(tmp_path / "data"),
        "PREVIEW_CACHE_DIR": str(tmp_path_factory.getbasetemp().parent / "preview-http-cache"),
        "PREVIEW_PORT_MIN": "24401",
        "PREVIEW_PORT_MAX": "24500",
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


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_mounted_in_a_framework(framework: str, tmp_path: Path, variables: Mapping[str, str]) -> None:
    with hosted("uvicorn-asyncio", f"{framework}:app", tmp_path, **variables) as host:
        assert host.client.get("/preview/api/v1/previews").status_code == 401
        found = launched(host, "/preview", ANN)
        assert host.client.get("/").json() == {"previews": 1}
        assert host.client.delete(found["base"], headers=ANN).status_code == 204
        until(lambda: gone(found), "it still listens")
        assert host.stop() in {0, -2}


@pytest.mark.parametrize("server", [one for one in SERVERS if one != "gunicorn-preload"])
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


def test_a_killed_host_leaves_nothing(tmp_path: Path, variables: Mapping[str, str]) -> None:
    with hosted("uvicorn-asyncio", "embed_fastapi:app", tmp_path, **variables) as host:
        found = launched(host, "/preview", ANN, "hello")
        ours = psutil.Process(host.process.pid).children(recursive=True)
        host.process.kill()
        host.process.wait()
        _, alive = psutil.wait_procs(ours, timeout=30)
        assert alive == []
        assert gone(found)


def test_a_reload_of_the_server_opens_the_service_again(tmp_path: Path, variables: Mapping[str, str]) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    source = (EXAMPLES / "embed_fastapi.py").read_text()
    (watched / "embedded_here.py").write_text(source)
    with hosted(
        "uvicorn-asyncio", "embedded_here:app", tmp_path, "--reload", "--reload-dir", str(watched),
        **dict(variables) | {"PYTHONPATH": str(watched)},
    ) as host:  # fmt: skip
        first = launched(host, "/preview", ANN, "hello")
        (watched / "embedded_here.py").write_text(source.replace("its own routes work as ever", "a second edition"))
        until(lambda: "a second edition" in _text(host), "the server did not reload")
        assert gone(first)
        launched(host, "/preview", ANN, "hello")


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
