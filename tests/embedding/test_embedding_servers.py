"""The bridge under each ASGI server: what a trio application may do, and how it ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psutil
import pytest
import trio
import trio_websocket
from embedding_kit import HERE, PATIENCE_S, RELOADING, SERVERS, Host, change, hosted, reloading, tidy, until
from mounted_app import ROOT

ASYNCIO = [one for one in SERVERS if one != "hypercorn-trio"]
# A second interrupt changes nothing for these: they wait this long, or (granian) without an end.
END_SOON = {
    "granian": ("--workers-kill-timeout", "1"),
    "hypercorn-asyncio": ("--graceful-timeout", "1"),
    "hypercorn-trio": ("--graceful-timeout", "1"),
}
# What a server says when it has seen the first interrupt; Hypercorn says nothing.
WAITS = dict.fromkeys(["uvicorn-asyncio", "uvicorn-uvloop", "gunicorn", "gunicorn-preload"], "Waiting for connections")
WAITS["granian"] = "Shutting down granian"
# A request to the server while it loads this module; /early answers what came back.
ASKS_ITSELF = """
import socket, sys, trio
from bridged_app import app as bridged

port = int(sys.argv[sys.argv.index("-b") + 1].rpartition(":")[2])
early = socket.create_connection(("127.0.0.1", port))
early.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/early":
        body = await trio.to_thread.run_sync(early.recv, 12)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})
    else:
        await bridged(scope, receive, send)
"""
FRAMEWORKS = [
    "mounted_app:in_fastapi", "mounted_app:in_starlette", "mounted_app:in_django", "mounted_litestar:in_litestar"
]  # fmt: skip


@pytest.fixture(scope="module", params=[*SERVERS, *FRAMEWORKS])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A server with the application; or a framework with the application mounted, under uvicorn."""
    folder = tmp_path_factory.mktemp("host")
    if request.param in SERVERS:
        with hosted(request.param, "bridged_app:app", folder) as running:
            yield running
        return
    with hosted("uvicorn-asyncio", request.param, folder, "--factory") as running:
        running.client.base_url = running.url = running.url + ROOT
        yield running


def state(host: Host) -> dict[str, int]:
    found: dict[str, int] = host.client.get("/state").json()
    return found


def half(host: Host, path: str) -> socket.socket:
    """A request whose client may go away."""
    parts = urlsplit(host.url)
    line = socket.create_connection((parts.hostname, parts.port))
    line.sendall(f"GET {parts.path}{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return line


def test_ordinary_requests_threads_and_processes(host: Host) -> None:
    assert host.client.get("/books/1").json() == {"path": "/books/1"}
    assert host.client.get("/thread").json() == 3
    assert host.client.get("/process").json() == "hello\n"


def test_the_application_sees_the_context_variables_of_the_host(host: Host) -> None:
    assert host.client.get("/who").json() == "the host"


def test_an_upload_of_5_mb(host: Host) -> None:
    assert host.client.post("/upload", content=b"x" * 5_000_000).json() == 5_000_000


def test_an_exception_is_the_servers_500_and_costs_no_other_request(host: Host) -> None:
    assert host.client.get("/fail").status_code == 500
    # A server may close the connection on which an application failed.
    assert httpx2.get(f"{host.url}/", trust_env=False).status_code == 200


def test_the_background_of_the_lifespan_runs(host: Host) -> None:
    before = state(host)["ticks"]
    until(lambda: state(host)["ticks"] > before, "the nursery of the lifespan stands still")


def test_a_client_that_goes_away_cancels_the_request_and_its_cleanup_is_done(host: Host) -> None:
    before = state(host)
    line = half(host, "/hang")
    until(lambda: state(host)["open"] == before["open"] + 1, "the request never arrived")
    line.close()
    until(lambda: state(host)["left"] == before["left"] + 1, "the request was not cancelled")
    assert state(host)["open"] == before["open"]


def test_server_sent_events_arrive_while_they_are_sent(host: Host) -> None:
    before = state(host)
    with host.client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        got = [line for line in (next(lines) for _ in range(40)) if line]
    assert got[:3] == ["data: 0", "data: 1", "data: 2"]
    until(lambda: state(host)["left"] == before["left"] + 1, "the stream was not cancelled")


async def test_a_websocket_echoes_and_closes(host: Host) -> None:
    url = host.url.replace("http", "ws")
    with trio.fail_after(60):
        async with trio_websocket.open_websocket_url(f"{url}/socket") as line:
            for number in range(20):
                await line.send_message(f"message {number}")
                assert await line.get_message() == f"message {number}"


@pytest.mark.parametrize("server", list(SERVERS))
def test_an_interrupt_ends_the_lifespan_before_the_process(server: str, tmp_path: Path) -> None:
    with hosted(server, "bridged_app:app", tmp_path) as running:
        # Upon an interrupt gunicorn kills this worker after 30 s, whatever the application.
        code = running.stop(signal.SIGTERM if server.startswith("gunicorn") else signal.SIGINT)
        assert "lifespan over" in running.text()
        assert code in {0, -2, 130}, running.text()


@pytest.mark.parametrize("server", list(SERVERS))
def test_two_interrupts_end_it_although_a_request_hangs(server: str, tmp_path: Path) -> None:
    with hosted(server, "bridged_app:app", tmp_path, *END_SOON.get(server, ())) as running, half(running, "/hang"):
        until(lambda: state(running)["open"] == 1, "the request never arrived")
        children = psutil.Process(running.process.pid).children(recursive=True)
        running.interrupt()
        if server in WAITS:
            until(lambda: WAITS[server] in running.text(), "the first interrupt was not seen")
        running.interrupt()
        running.process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert alive == []
        assert "Task was destroyed" not in running.text()
        assert "Event loop is closed" not in running.text()


@pytest.mark.parametrize("server", list(RELOADING))
def test_a_reload_of_the_server_ends_one_lifespan_and_begins_another(server: str, tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    program = watched / "edited.py"
    program.write_text("import bridged_app\nfrom bridged_app import app\n")
    with hosted(server, "edited:app", tmp_path, *reloading(server, watched), PYTHONPATH=f"{watched}:{HERE}") as running:
        second = f"{program.read_text()}bridged_app.seen['edition'] = 2\n"
        change(running, server, program, second, lambda: _edition(running) == 2)
        # gunicorn starts the new worker before the old one has ended.
        until(lambda: "lifespan over" in running.text(), "the first lifespan goes on")
        children = psutil.Process(running.process.pid).children(recursive=True)
        running.interrupt()
        running.process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert alive == []


def _edition(host: Host) -> int:
    try:
        return state(host).get("edition", 1)
    except (httpx2.HTTPError, ValueError):
        return 0


def test_hypercorns_trio_worker_listens_before_it_has_loaded_the_application(tmp_path: Path) -> None:
    # Its clients get nothing until "Running on": a load test that starts at once sees a server that stands still.
    (tmp_path / "asks_itself.py").write_text(ASKS_ITSELF)
    with hosted("hypercorn-trio", "asks_itself:app", tmp_path) as running:
        assert running.client.get("/early").text == "HTTP/1.1 200"


@pytest.mark.parametrize("server", ASYNCIO)
def test_a_crash_is_logged_and_answered_with_503(server: str, tmp_path: Path) -> None:
    with hosted(server, "bridged_app:app", tmp_path) as running:
        assert running.client.get("/crash").status_code == 200
        until(lambda: running.client.get("/").status_code == 503, "requests go on")
        refused = running.client.get("/")
        assert refused.json()["code"] == "service_stopping"
        assert refused.headers["Content-Type"] == "application/problem+json"
        running.stop()
        said = tidy(running.text())
        assert "the service crashed" in said
        assert "appears unsupported" not in said
