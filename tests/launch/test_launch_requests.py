"""What a project prints while it handles a request is tied to it: real frameworks, started cold and warm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
import trio
from launch_kit import ANN, Rig, open_rig, story, target

from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.runtime.warm import WarmRuntime
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.traffic import Capture

# Two requests meet in here: each prints, waits until the other one has, and prints again.
MEET = """
import logging, sys, threading
logging.basicConfig(format="%(levelname)s: %(message)s")
both = threading.Barrier(2)
def meet(name):
    print("begins", name)
    both.wait(20)
    logging.warning("goes on with\\n  %s", name)
    both.wait(20)
    sys.stdout.write("ends ")
    both.wait(20)
    sys.stdout.writelines([name, "\\n"])
    both.wait(20)
    return name
"""
FASTAPI = """
import asyncio
from fastapi import FastAPI, BackgroundTasks
from meet import meet
app = FastAPI()
@app.get("/")
def home(): return "ok"
@app.get("/meet/{name}")
def threaded(name: str): return meet(name)
here = []
@app.get("/tasks/{name}")
async def tasks(name: str, background: BackgroundTasks):
    print("task", name)
    here.append(name)
    while len(here) < 2: await asyncio.sleep(0)
    await asyncio.create_task(later(name))
    background.add_task(print, "behind", name)
    if name == "b": raise ValueError(name)
async def later(name): print("later", name)
"""
FLASK = """
from flask import Flask
from meet import meet
app = Flask(__name__)
@app.get("/")
def home(): return "ok"
@app.get("/meet/<name>")
def threaded(name): return meet(name)
"""
DJANGO = """
from django.http import HttpResponse
from django.urls import path
from meet import meet
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS = "x" * 50, False, "project", []
urlpatterns = [path("", lambda request: HttpResponse("ok")),
               path("meet/<name>", lambda request, name: HttpResponse(meet(name)))]
"""


@dataclass(frozen=True)
class Kind:
    """A project and how it starts."""

    files: Mapping[str, str]
    plan: StartPlan


def kind(framework: str, server: Server, file: str, app: str, attribute: str, **variables: str) -> Kind:
    given = {name: Variable(name, value, Origin.PROJECT) for name, value in variables.items()}
    chosen = target(file.removesuffix(".py"), attribute, framework=framework)
    plan = StartPlan(framework, Toolchain.PYTHON, server, chosen, variables=given)
    return Kind({"requirements.txt": f"{framework}\n", "meet.py": MEET, file: app}, plan)


KINDS: Mapping[str, Kind] = {
    "fastapi": kind("fastapi", Server.ASGI, "main.py", FASTAPI, "app"),
    "flask": kind("flask", Server.WSGI, "app.py", FLASK, "app"),
    "django": kind("django", Server.DJANGO, "project.py", DJANGO, "", DJANGO_SETTINGS_MODULE="project", SECRET_KEY="x"),
}


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=3)
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            yield opened


async def ask_as(preview: LivePreview, path: str, request: str | None) -> int:
    host, port = preview.socket_address
    headers = {} if request is None else {"X-Request-Id": request}
    async with httpx2.AsyncClient(timeout=30, verify=False) as client:
        return (await client.get(f"http://{host}:{port}{path}", headers=headers)).status_code


async def ask_both(preview: LivePreview, path: str) -> None:
    async with trio.open_nursery() as nursery:
        for name in ("a", "b"):
            nursery.start_soon(ask_as, preview, f"{path}/{name}", f"request-{name}")


def lines_of(preview: LivePreview, request: str | None, *, after: int) -> list[str]:
    lines = preview.log.backlog.last_lines(1000)
    return [line.message for line in lines if line.seq > after and line.request_id == request]


async def said_for(preview: LivePreview, request: str | None, count: int, *, after: int) -> list[str]:
    """What it has said for a request, once it is so many lines."""
    with preview.log.subscribe(after=after) as events:
        while len(lines_of(preview, request, after=after)) < count:
            await events.receive()
    return lines_of(preview, request, after=after)


async def requests_that_meet_have_their_own_lines(preview: LivePreview) -> None:
    before = preview.log.last_seq
    await ask_both(preview, "/meet")
    for name in ("a", "b"):
        *said, access = await said_for(preview, f"request-{name}", 5, after=before)
        assert said == [f"begins {name}", "WARNING: goes on with", f"  {name}", f"ends {name}"]
        assert f"/meet/{name}" in access


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_requests_that_meet_have_their_own_lines_however_the_project_was_started(rig: Rig, kind: Kind) -> None:
    preview = await rig.start(kind.files, kind.plan)
    assert preview.record.state is State.RUNNING, story(preview)
    await requests_that_meet_have_their_own_lines(preview)
    runtime = rig.service.previews._context.runtime
    if not isinstance(runtime, WarmRuntime):
        pytest.skip("no template can be made on this machine")
    await rig.service.previews.stop("g1")
    while not runtime.templates.ready:  # noqa: ASYNC110  a pool tells nobody that a template is ready
        await trio.sleep(0.01)
    preview = await rig.start(kind.files, kind.plan)
    assert any(line.startswith("started warm: ") for line in story(preview))
    await requests_that_meet_have_their_own_lines(preview)
    # By then its application is imported already where the restart begins.
    await rig.service.previews.restart(ANN, "g1")
    while not any(line.startswith("a snapshot of the imported application is ready") for line in story(preview)):  # noqa: ASYNC110
        await trio.sleep(0.01)
    await rig.service.previews.restart(ANN, "g1")
    await requests_that_meet_have_their_own_lines(preview)


async def test_tasks_of_a_request_and_its_traceback_are_its_own(rig: Rig) -> None:
    preview = await rig.start(KINDS["fastapi"].files, KINDS["fastapi"].plan)
    assert preview.record.state is State.RUNNING, story(preview)
    before = preview.log.last_seq
    await ask_both(preview, "/tasks")
    said = await said_for(preview, "request-a", 4, after=before)
    assert [one for one in said if "HTTP" not in one] == ["task a", "later a", "behind a"]
    # The last lines of the traceback: uvicorn's, of this request.
    count = 4
    while "ValueError: b" not in await said_for(preview, "request-b", count, after=before):
        count += 1
    preview.traffic.set_capture(Capture.OFF)
    before = preview.log.last_seq
    assert await ask_as(preview, "/", None) == 200
    assert "HTTP" in (await said_for(preview, None, 1, after=before))[0]


FAILS = """
import os, smtplib, socket, sqlite3, urllib.request
from flask import Flask
app = Flask(__name__)
@app.get("/")
def home(): return "ok"
@app.get("/sql")
def sql(): return sqlite3.connect(":memory:").execute("SELECT * FROM sqlite_master WHERE name ILIKE 'b'")
@app.get("/key")
def key(): return os.environ["SHOP_API_KEY"]
@app.get("/dictionary")
def dictionary(): return {}["SHOP_API_KEY"]
@app.get("/mail")
def mail(): smtplib.SMTP("localhost", 9)
@app.get("/service")
def service(): return urllib.request.urlopen("http://api.example.com/x").read()
"""


async def test_a_failed_request_is_explained_once_in_its_own_lines(rig: Rig) -> None:
    failing = kind("flask", Server.WSGI, "app.py", FAILS, "app")
    preview = await rig.start(failing.files, failing.plan)
    assert preview.record.state is State.RUNNING, story(preview)
    told = {
        "sql": "SQLite does not know 'ILIKE': ",
        "key": "The environment variable SHOP_API_KEY is not set. ",
        "mail": "It needs a mail server, and nothing answers there. ",
        "service": "It tries to reach ",
    }
    before = preview.log.last_seq
    assert await ask_as(preview, "/dictionary", "request-dictionary") == 500
    for name, sentence in told.items():
        for _ in range(2):
            assert await ask_as(preview, f"/{name}", f"request-{name}") == 500
        with trio.move_on_after(15), preview.log.subscribe(after=before) as events:
            while not any(line.startswith(sentence) for line in lines_of(preview, f"request-{name}", after=before)):
                await events.receive()
        assert any(line.startswith(sentence) for line in lines_of(preview, f"request-{name}", after=before)), "\n".join(
            story(preview)[-60:]
        )
    said = [line for line in story(preview) if line.startswith(tuple(told.values()))]
    assert len(said) == len(told), said
    assert any("The code is in app.py:8." in line for line in said)
    assert not [line for line in lines_of(preview, "request-dictionary", after=before) if "is not set" in line]
