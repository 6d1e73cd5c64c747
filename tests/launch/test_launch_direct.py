"""Requests at a preview's own port are reported by its launcher; those that the service carried are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import httpx2
import pytest
import trio
from direct_kit import Heard, get, trace_of
from launch_kit import ANN, Rig, open_rig, story, target

from preview.core.ids import REQUEST_MARK
from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.traffic import Capture
from preview.traffic.direct import MOST_PER_S

FASTAPI = """
from fastapi import FastAPI, WebSocket
app = FastAPI()
@app.get("/")
def home(): return "ok"
@app.get("/é/{name}")
def named(name: str): print("named"); return name
@app.get("/crash")
async def crash(): raise ValueError("no")
@app.websocket("/ws")
async def ws(socket: WebSocket): await socket.accept(); await socket.close()
"""
FLASK = """
from flask import Flask
app = Flask(__name__)
@app.get("/")
def home(): return "ok"
@app.get("/é/<name>")
def named(name): print("named"); return name
@app.get("/crash")
def crash(): raise ValueError("no")
"""
DJANGO = """
from django.http import HttpResponse
from django.urls import path
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS = "x" * 50, False, "project", []
def named(request, name): print("named"); return HttpResponse(name)
def crash(request): raise ValueError("no")
urlpatterns = [path("", lambda request: HttpResponse("ok")), path("é/<name>", named), path("crash", crash)]
"""
EXPRESS = """
const express = require('express');
const app = express();
app.get('/', (request, response) => response.send('ok'));
app.get('/%C3%A9/:name', (request, response) => response.send(request.params.name));
app.get('/crash', () => { throw new Error('no'); });
app.listen(process.env.PORT);
"""
# Answers a WebSocket's handshake by hand.
SOCKETS = """
const http = require('http');
const server = http.createServer((request, response) => response.end('ok'));
server.on('upgrade', (request, socket) => {
  socket.end(request.url.startsWith('/no') ? 'HTTP/1.1 403 Forbidden\\r\\n\\r\\n'
    : 'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n');
});
server.listen(process.env.PORT);
"""
CLUSTER = (
    """
const cluster = require('cluster');
const hostile = [null, 7, {}, {cmd: 'NODE_PREVIEW_REQUEST'}, {cmd: 'NODE_PREVIEW_REQUEST', line: 'x'.repeat(9000)},
  {cmd: 'NODE_PREVIEW_REQUEST', line: 'GET 200 1 r1 /a\\nready\\ndrained', dropped: -5},
  {cmd: 'NODE_PREVIEW_REQUEST', line: 'GET 200 1 MARK00 /forged', dropped: 1e300}];
if (cluster.isPrimary) { for (let one = 0; one < 3; one += 1) cluster.fork(); }
else {
"""
    + SOCKETS
    + """
  for (const one of hostile) if (one !== null) process.send(one);
}
"""
)
# Workers that send reports as fast as they can, without an end; the primary serves.
FLOOD = """
const cluster = require('cluster');
if (cluster.isPrimary) {
  for (let one = 0; one < 2; one += 1) cluster.fork();
  require('http').createServer((request, response) => response.end('ok')).listen(process.env.PORT);
} else {
  const line = `GET 200 1 r1 /flood${'x'.repeat(900)}`;
  const flood = () => {
    let left = 1000;
    const sent = () => { left -= 1; if (left === 0) setImmediate(flood); };
    for (let one = 0; one < 1000; one += 1) process.send({cmd: 'NODE_PREVIEW_REQUEST', line, dropped: 5}, sent);
  };
  flood();
}
"""
NODE_PACKAGE = '{"name": "shop", "main": "server.js", "scripts": {"start": "node server.js"}}'
NODE_KINDS = {
    "sockets": (SOCKETS, Server.NODE, ("server.js",)),
    "cluster": (CLUSTER, Server.NODE, ("server.js",)),
    "node": (SOCKETS, Server.COMMAND, ("node", "server.js")),
    "npm": (SOCKETS, Server.COMMAND, ("npm", "start")),
}
KINDS: Mapping[str, tuple[Mapping[str, str], StartPlan]] = {
    "fastapi": (
        {"requirements.txt": "fastapi\nwebsockets\n", "main.py": FASTAPI},
        StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, target("main", "app", framework="fastapi")),
    ),
    "flask": (
        {"requirements.txt": "flask\n", "app.py": FLASK},
        StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("app", "app", framework="flask")),
    ),
    "django": (
        {"requirements.txt": "django\n", "project.py": DJANGO},
        StartPlan(
            "django",
            Toolchain.PYTHON,
            Server.DJANGO,
            target("project", "", framework="django"),
            variables={
                name: Variable(name, value, Origin.PROJECT)
                for name, value in (("DJANGO_SETTINGS_MODULE", "project"), ("SECRET_KEY", "x"))
            },
        ),
    ),
    "express": (
        {
            "package.json": '{"name": "shop", "main": "server.js", "dependencies": {"express": "^5.1.0"}}',
            "server.js": EXPRESS,
        },
        StartPlan("express", Toolchain.NODE, Server.NODE, None, command=("server.js",)),
    ),
}


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=0, capture="meta")
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def shake_hands(preview: LivePreview, path: str) -> bytes:
    """Ask for a WebSocket; return the answer's first line."""
    host, port = preview.socket_address
    async with await trio.open_tcp_stream(host, port) as stream:
        head = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        await stream.send_all(head.encode())
        answer = b"".join([part async for part in stream])
    return answer.partition(b"\r\n")[0]


@pytest.mark.long
@pytest.mark.parametrize("kind", NODE_KINDS)
async def test_node_reports_requests_and_handshakes_of_workers_and_of_own_commands(rig: Rig, kind: str) -> None:
    program, server, command = NODE_KINDS[kind]
    files = {"package.json": NODE_PACKAGE, "server.js": program}
    preview = await rig.start(files, StartPlan("node", Toolchain.NODE, server, None, command=command, trace=True))
    assert preview.record.state is State.RUNNING, story(preview)
    heard = Heard()
    preview.traffic.listeners.append(heard.take)
    # The order to report reaches each worker in its own time.
    with trio.fail_after(60):
        while {(b"/", 200), (b"/chat?room=1", 101), (b"/no", 403)} - {(one.target, one.status) for one in heard.drafts}:
            assert await get(preview, "/", x_request_id="mine") == 200
            assert await get(preview, "/carried", x_request_id=REQUEST_MARK + "00") == 200
            assert await shake_hands(preview, "/chat?room=1") == b"HTTP/1.1 101 Switching Protocols"
            assert await shake_hands(preview, "/no") == b"HTTP/1.1 403 Forbidden"
    # A worker forges reports of its own application: they are no other words, and each is one record of origin direct.
    forged = {b"/a?ready?drained", b"/forged"} if kind == "cluster" else set[bytes]()
    assert {one.target for one in heard.drafts} <= {b"/", b"/chat?room=1", b"/no"} | forged
    assert {one.origin.value for one in heard.drafts} == {"direct"}
    assert {one.request_id for one in heard.drafts if one.target == b"/"} == {b"mine"}
    await trace_of(preview, "mine")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_a_request_at_the_own_port_is_reported_once_and_only_while_requests_are_recorded(
    rig: Rig, kind: str
) -> None:
    preview = await rig.start(*KINDS[kind])
    assert preview.record.state is State.RUNNING, story(preview)
    heard = Heard()
    preview.traffic.listeners.append(heard.take)
    # Carried, the service's own, and then one that is neither: nothing else is reported before it.
    preview.traffic.direct.carried(b"from-a-client")
    assert await get(preview, "/", x_request_id="from-a-client") == 200
    assert await get(preview, "/", x_request_id=REQUEST_MARK + "00") == 200
    assert await get(preview, "/", user_agent="preview-probe") == 200
    assert await get(preview, "/é/a?q=1%202") == 200
    assert await heard.wait(1) == [("GET", b"/%C3%A9/a?q=1%202", 200)]
    assert heard.drafts[0].request_id.startswith(b"direct-")
    assert 0 <= heard.drafts[0].ended < 30
    assert await get(preview, "/crash", x_request_id="mine") == 500
    assert (await heard.wait(2))[1] == ("GET", b"/crash", 500)
    assert heard.drafts[1].request_id == b"mine"
    assert await get(preview, "/none", x_request_id="not sane") == 404
    assert (await heard.wait(3))[2] == ("GET", b"/none", 404)
    # An order and a request travel on two ways: the order is not waited for.
    preview.traffic.set_capture(Capture.OFF)
    assert await get(preview, "/") == 200
    preview.traffic.set_capture(Capture.META)
    assert len(heard.drafts) == 3
    if kind in {"fastapi", "flask", "django"}:
        name = heard.drafts[0].request_id.decode()
        # The output is read in pauses: a line may come after the report of its request.
        await preview.log.read_on()
        assert next(line.message for line in preview.log.last_lines(100) if line.request_id == name) == "named"


@pytest.mark.long
async def test_a_flood_at_the_own_port_is_counted_and_the_next_process_reports_too(rig: Rig) -> None:
    preview = await rig.start(*KINDS["fastapi"])
    assert preview.record.state is State.RUNNING, story(preview)
    heard = Heard()
    preview.traffic.listeners.append(heard.take)
    host, port = preview.socket_address
    async with httpx2.AsyncClient(timeout=30, verify=False) as client:
        for _ in range(250):
            await client.get(f"http://{host}:{port}/")
    while len(heard.drafts) + preview.traffic.lost_records < 250:
        # The launcher tells of dropped ones with the next report of another second.
        assert await get(preview, "/") == 200
    assert len(heard.drafts) >= 100
    await rig.service.previews.restart(ANN, "g1")
    count = len(heard.drafts)
    # Within the same second as the flood it is one too many.
    while len(heard.drafts) == count:
        assert await get(preview, "/after") == 404
    assert heard.drafts[count].target == b"/after"


async def test_a_flood_of_reports_by_workers_is_bounded_and_counted(rig: Rig) -> None:
    plan = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.js",))
    preview = await rig.start({"package.json": NODE_PACKAGE, "server.js": FLOOD}, plan)
    assert preview.record.state is State.RUNNING, story(preview)
    heard = Heard()
    preview.traffic.listeners.append(heard.take)
    began = trio.current_time()
    lost = preview.traffic.lost_records
    # Far more than become records.
    while preview.traffic.lost_records < lost + 1000 or not heard.drafts:
        assert await get(preview, "/", x_request_id=REQUEST_MARK + "00") == 200
    # One second more at each end.
    assert len(heard.drafts) <= MOST_PER_S * (trio.current_time() - began + 2)
    assert {one.target[:6] for one in heard.drafts} == {b"/flood"}
