"""Requests at a preview's own port are reported by its launcher; those that the service carried are not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import trio
from launch_kit import ANN, Rig, open_rig, story, target

from preview.core.ids import REQUEST_MARK
from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.traffic import Capture, Draft

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


@dataclass
class Heard:
    """What a preview's application has reported."""

    drafts: list[Draft] = field(default_factory=list)
    came: trio.Event = field(default_factory=trio.Event)

    def take(self, _: int, draft: Draft) -> None:
        self.drafts.append(draft)
        came, self.came = self.came, trio.Event()
        came.set()

    async def wait(self, count: int) -> list[tuple[str, bytes, int]]:
        while len(self.drafts) < count:
            await self.came.wait()
        return [(draft.method, draft.target, draft.status) for draft in self.drafts]


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=0, capture="meta")
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def get(preview: LivePreview, path: str, **headers: str) -> int:
    host, port = preview.socket_address
    async with httpx2.AsyncClient(timeout=30) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await client.get(f"http://{host}:{port}{path}", headers=named)).status_code


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
        assert next(line.message for line in preview.log.last_lines(100) if line.request_id == name) == "named"


async def test_a_flood_at_the_own_port_is_counted_and_the_next_process_reports_too(rig: Rig) -> None:
    preview = await rig.start(*KINDS["fastapi"])
    assert preview.record.state is State.RUNNING, story(preview)
    heard = Heard()
    preview.traffic.listeners.append(heard.take)
    host, port = preview.socket_address
    async with httpx2.AsyncClient(timeout=30) as client:
        for _ in range(250):
            await client.get(f"http://{host}:{port}/")
    while len(heard.drafts) + preview.traffic.lost_records < 250:
        # The launcher tells of dropped ones with the next report of another second.
        assert await get(preview, "/") == 200
    assert len(heard.drafts) >= 100
    await rig.service.previews.restart(ANN, "g1")
    count = len(heard.drafts)
    assert await get(preview, "/after") == 404
    assert (await heard.wait(count + 1))[-1][1] == b"/after"
