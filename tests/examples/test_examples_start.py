from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trio

from preview.endpoints import extract
from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.settings import load_settings

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT_S = 300


@asynccontextmanager
async def started(name: str, tmp_path: Path, **variables: str) -> AsyncIterator[tuple[trio.Process, str]]:
    """The example under plain uvicorn on a socket of ours, from a cached environment."""
    project = tmp_path / name
    shutil.copytree(EXAMPLES / name, project)
    found = extract(project).target
    assert found is not None
    cache = EnvironmentCache(load_settings(cache_dir=tmp_path / "cache", data_dir=tmp_path))
    async with cache.open_environment(EnvironmentRequest(project), lambda line, level: None) as environment:
        await cache.compile(environment.key)  # the first request waits for the imports
        with socket.create_server(("127.0.0.1", 0)) as listener:
            process = await trio.lowlevel.open_process(
                [str(environment.python), "-m", "uvicorn", str(found), "--fd", str(listener.fileno())],
                cwd=project / found.app_dir,
                env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
            )
            try:
                yield process, f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                if process.returncode is None:
                    process.kill()
                with trio.move_on_after(5, shield=True):
                    await process.wait()


def open_client() -> httpx2.AsyncClient:
    # uvicorn closes a connection that has been idle for 5 s, which on a busy machine is while a request is on its way.
    return httpx2.AsyncClient(verify=False, timeout=LIMIT_S, limits=httpx2.Limits(max_keepalive_connections=0))


async def finish(process: trio.Process) -> str:
    """All that it said; ends it first."""
    if process.returncode is None:
        process.terminate()
    assert process.stdout is not None
    text = b"".join([chunk async for chunk in process.stdout])
    await process.wait()
    return text.decode()


async def test_the_bookshop_sells_logs_and_raises(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with (
            started("bookshop", tmp_path, LOG_LEVEL="INFO") as (process, address),
            open_client() as client,
        ):
            assert (await client.get(f"{address}/health")).json() == {"status": "ok"}
            books = (await client.get(f"{address}/api/v1/books", params={"per_page": 2})).json()
            assert (len(books["items"]), books["total"]) == (2, 6)
            order = {"customer": "Ada", "email": "ada@example.com", "items": [{"book_id": 1, "quantity": 1}]}
            assert (await client.post(f"{address}/api/v1/orders", json=order)).status_code == 201
            assert (await client.post(f"{address}/api/v1/orders", json={})).status_code == 422
            assert (await client.get(f"{address}/api/v1/debug/log")).json() == {"lines": 6}
            assert (await client.get(f"{address}/api/v1/debug/error")).status_code == 500
            live = (await client.get(f"{address}/openapi.json")).json()["paths"]
            said = await finish(process)
    static = {(item.method.lower(), item.path) for item in extract(EXAMPLES / "bookshop").endpoints}
    assert {(method, path) for path, item in live.items() for method in item} == static
    assert "\x1b[32mINFO\x1b[0m" in said
    assert "ZeroDivisionError" in said
    assert "order 1 confirmed" in said
    assert "the shop is closed" in said


@pytest.mark.long
async def test_at_the_services_log_level_the_server_is_still_heard(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with (
            started("bookshop", tmp_path, LOG_LEVEL="ERROR") as (process, address),
            open_client() as client,
        ):
            await client.get(f"{address}/health")
            said = await finish(process)
    assert "Application startup complete" in said
    assert '"GET /health HTTP/1.1" 200' in said
    assert "the shop is open" not in said


async def test_hello_says_hello(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with started("hello", tmp_path) as (_, address), open_client() as client:
            answer = await client.get(f"{address}/hello/you", params={"excited": True})
    assert answer.json() == {"message": "Hello, you!"}


@pytest.mark.long
async def test_the_broken_one_ends_with_the_traceback_its_readme_promises(tmp_path: Path) -> None:
    with trio.fail_after(LIMIT_S):
        async with started("broken", tmp_path) as (process, _):
            assert await process.wait() == 1
            said = await finish(process)
    last = said.strip().splitlines()[-1]
    assert last == "ModuleNotFoundError: No module named 'app.databse'"
    assert last in (EXAMPLES / "broken" / "README.md").read_text()


@pytest.mark.parametrize("name", ["bookshop", "hello", "broken"])
def test_requirements_are_pinned_and_leave_the_server_to_the_service(name: str) -> None:
    lines = [
        line for line in (EXAMPLES / name / "requirements.txt").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    assert lines
    assert all("==" in line and "uvicorn" not in line for line in lines)
