"""Real servers hand their socket over: a restart and a reload of each kind, with nothing lost, in the sandbox too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import h11
import pytest
import trio
from launch_kit import ANN, Rig, ask, command, says, story, target
from launch_projects import PLAIN

from preview.core.isolation import Network
from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.errors import LaunchFailed
from preview.supervisor import FilesChange, LivePreview
from preview.supervisor.launch import preparation

FASTAPI_APP = """
import asyncio
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
async def home(): return "{version}"
@app.get("/slow")
async def slow():
    await asyncio.sleep(0.5)
    return "slow {version}"
"""
FLASK_APP = """
import time
from flask import Flask
app = Flask(__name__)
@app.get("/")
def home(): return '"{version}"'
@app.get("/slow")
def slow():
    time.sleep(0.5)
    return '"slow {version}"'
"""
DJANGO_APP = """
import os, time
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS = "x" * 50, False, "project", []
INSTALLED_APPS, STATIC_URL, ASGI_APPLICATION = [], "", "project.application"
def home(request): return HttpResponse('"{version}"')
def slow(request):
    time.sleep(0.5)
    return HttpResponse('"slow {version}"')
urlpatterns = [path("", home), path("slow", slow)]
def __getattr__(name):
    if name == "application": return get_asgi_application()
    raise AttributeError(name)
"""
EXPRESS_APP = """
const express = require('express');
const app = express();
app.get('/', (request, response) => response.send('"{version}"'));
app.get('/slow', (request, response) => setTimeout(() => response.send('"slow {version}"'), 500));
app.listen(3000);
"""


def django(server: Server) -> StartPlan:
    return StartPlan("django", Toolchain.PYTHON, server, target("project", "", framework="django"))


KINDS: Mapping[str, tuple[str, str, Mapping[str, str], StartPlan]] = {
    "fastapi": (
        "main.py",
        FASTAPI_APP,
        {"requirements.txt": "fastapi\n"},
        StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, target("main", "app", framework="fastapi")),
    ),
    "flask": (
        "app.py",
        FLASK_APP,
        {"requirements.txt": "flask\n"},
        StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("app", "app", framework="flask")),
    ),
    "django": ("project.py", DJANGO_APP, {"requirements.txt": "django\n"}, django(Server.DJANGO)),
    "django by asgi": ("project.py", DJANGO_APP, {"requirements.txt": "django\n"}, django(Server.ASGI)),
    "express": (
        "server.js",
        EXPRESS_APP,
        {"package.json": '{"name": "shop", "main": "server.js", "dependencies": {"express": "^5.1.0"}}'},
        StartPlan("express", Toolchain.NODE, Server.NODE, None, command=("server.js",)),
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def start(rig: Rig, kind: str) -> LivePreview:
    name, app, others, plan = KINDS[kind]
    preview = await rig.start({name: app.replace("{version}", "one"), **others}, plan)
    assert preview.record.state is State.RUNNING, story(preview)
    return preview


async def save(rig: Rig, kind: str, version: str) -> None:
    name, app, _, _ = KINDS[kind]
    await rig.service.previews.reload(ANN, "g1", FilesChange({name: app.replace("{version}", version).encode()}))


class Kept:
    """A connection that is kept, as browsers do; opened again where an answer says that it was the last."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._stream: trio.SocketStream | None = None
        self._connection = h11.Connection(h11.CLIENT)
        self.opened = 0

    async def ask(self, path: str = "/") -> bytes:
        if self._stream is None:
            self._stream = await trio.open_tcp_stream(*self._address)
            self._connection = h11.Connection(h11.CLIENT)
            self.opened += 1
        sent = self._connection.send(h11.Request(method="GET", target=path, headers=[("Host", "localhost")]))
        await self._stream.send_all((sent or b"") + (self._connection.send(h11.EndOfMessage()) or b""))
        body = b""
        while not isinstance(event := self._connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self._connection.receive_data(await self._stream.receive_some())
            elif isinstance(event, h11.Data):
                body += event.data
        if self._connection.our_state is h11.MUST_CLOSE or self._connection.their_state is not h11.DONE:
            await self._stream.aclose()
            self._stream = None
        else:
            self._connection.start_next_cycle()
        return body

    async def aclose(self) -> None:
        if self._stream is not None:
            await trio.aclose_forcefully(self._stream)


@asynccontextmanager
async def under_load(preview: LivePreview) -> AsyncIterator[list[str]]:
    """New connections and a kept one ask without a pause that is worth it; yields what has failed."""
    failed: list[str] = []
    kept = Kept(preview.socket_address)

    async def ask_on(once: bool) -> None:
        while True:
            one = Kept(preview.socket_address) if once else kept
            try:
                body = await one.ask()
                if body not in (b'"one"', b'"two"', b'"three"'):
                    failed.append(repr(body))
            except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                failed.append(f"{once=} {error!r}")
                return
            finally:
                if once:
                    await one.aclose()
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_on, True)
        nursery.start_soon(ask_on, False)
        yield failed
        nursery.cancel_scope.cancel()
    await kept.aclose()


@pytest.mark.long
async def test_saving_a_file_under_load_loses_no_request(rig: Rig, kind: str) -> None:
    preview = await start(rig, kind)
    pid = preview.record.pid
    async with under_load(preview) as failed:
        await save(rig, kind, "two")
        await save(rig, kind, "three")
    assert failed == []
    assert (await ask(preview)).text == '"three"'
    assert preview.record.pid != pid
    assert any(line.startswith("reloaded in ") for line in story(preview))


async def test_what_is_under_way_is_answered_by_the_process_that_took_it(rig: Rig, kind: str) -> None:
    preview = await start(rig, kind)
    answers: list[str] = []

    async def ask_slowly() -> None:
        answers.append((await ask(preview, "/slow")).text)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask_slowly)
        await trio.sleep(0.1)  # they are accepted by then; if one is not, it is asked of the new process
        await rig.service.previews.restart(ANN, "g1")
    assert answers == ['"slow one"'] * 3
    with preview.log.subscribe() as events, trio.fail_after(60):
        while not any(line.startswith("restarted in ") for line in story(preview)):
            await events.receive()
    assert not any("did not finish its requests" in line for line in story(preview))


@pytest.mark.long
async def test_a_mistake_that_is_saved_leaves_the_old_process_serving(rig: Rig) -> None:
    preview = await start(rig, "fastapi")
    with pytest.raises(LaunchFailed, match="line 1, is not valid Python"):
        await rig.service.previews.reload(ANN, "g1", FilesChange({"main.py": b"def broken(:\n"}))
    assert (await ask(preview)).json() == "one"
    await save(rig, "fastapi", "two")
    assert (await ask(preview)).json() == "two"


@pytest.mark.long
async def test_a_reload_that_fails_leaves_the_network_of_the_process_that_serves(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    preview = await start(rig, "fastapi")
    shown = preview.confinement
    assert shown is not None
    other = Network.NONE if shown.network is Network.HOST else Network.HOST
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "choose_network", lambda *_: other)
        with pytest.raises(LaunchFailed):
            await rig.service.previews.reload(ANN, "g1", FilesChange({"main.py": b"def broken(:\n"}))
    assert preview.confinement is shown
    assert (await ask(preview)).json() == "one"


@pytest.mark.long
async def test_a_requirement_that_is_saved_is_installed(rig: Rig) -> None:
    preview = await start(rig, "fastapi")
    app = FASTAPI_APP.replace("{version}", "two").replace("import asyncio", "import asyncio, itsdangerous")
    change = FilesChange({"main.py": app.encode(), "requirements.txt": b"fastapi\nitsdangerous\n"})
    await rig.service.previews.reload(ANN, "g1", change)
    assert (await ask(preview)).json() == "two"


async def test_a_program_that_listens_by_itself_is_stopped_first(rig: Rig) -> None:
    await restart_alone(rig)


async def test_a_program_that_listens_by_itself_on_the_machines_network_is_stopped_first(plain_rig: Rig) -> None:
    await restart_alone(plain_rig)


async def restart_alone(rig: Rig) -> None:
    preview = await rig.start(PLAIN, command("python", "serve.py", "$PORT"))
    assert preview.record.state is State.RUNNING, story(preview)
    await rig.service.previews.restart(ANN, "g1")
    assert (await ask(preview)).status_code == 200
    await says(preview, "restart: the program cannot hand over its port: the old process is stopped first")
