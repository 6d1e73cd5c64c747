"""Real projects, in the sandbox: a start that is forked answers as the cold one does, and never with older code."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trio
from launch_kit import ANN, Rig, ask, open_rig, says, story, target

from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.runtime.kernel.proctree import MARKER
from preview.runtime.warm import WarmRuntime
from preview.settings import Settings
from preview.supervisor import FilesChange, LivePreview
from preview.supervisor.launch.preparation import decide
from preview.supervisor.life import prestart
from preview.supervisor.life.preview_slot import PreviewSlot

# What a program finds that was just started, and has set a variable of its own as ``load_dotenv`` does.
LOOK = """
import os, socket, stat, sys, time
os.environ.setdefault("SET_BY_ITSELF", "yes")
def is_kept(number):
    # Connections that it has accepted end when they end; ends of a pair have no name.
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return True
        with socket.socket(fileno=os.dup(number)) as one:
            return not one.getsockname() or one.getpeername() is None
    except OSError:
        return os.path.exists("/proc/self/fd/%d" % number)
def look():
    return {
        "version": VERSION,
        "variables": dict(os.environ),
        "time zone": time.strftime("%Z"),
        "directory": os.getcwd(),
        "main": sys.modules["__main__"].__spec__ is None,
        "loaded": "shop.names" in sys.modules,
        "path": sys.path[:3],
        "argv": sys.argv[:1],
        "descriptors": sum(map(is_kept, range(3, 60))),
    }
"""
FASTAPI = """
from fastapi import FastAPI
from shop.names import VERSION
from shop.look import look
app = FastAPI()
@app.get("/")
def home(): return look()
"""
FLASK = """
from flask import Flask, jsonify
from shop.names import VERSION
from shop.look import look
app = Flask(__name__)
@app.get("/")
def home(): return jsonify(look())
"""
DJANGO = """
from pathlib import Path
from django.http import JsonResponse
from django.urls import path
from shop.names import VERSION
from shop.look import look
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS = "x" * 50, False, "project", []
TIME_ZONE = "Asia/Tokyo"
INSTALLED_APPS, STATIC_URL = ["django.contrib.staticfiles"], "/static/"
def home(request): return JsonResponse(look())
urlpatterns = [path("", home)]
"""


@dataclass(frozen=True)
class Kind:
    """A project and how it starts."""

    requirement: str
    file: str
    app: str
    plan: StartPlan

    def files(self, version: str) -> Mapping[str, str]:
        return {
            "requirements.txt": f"{self.requirement}\n",
            self.file: self.app,
            "shop/__init__.py": "",
            "shop/names.py": f"VERSION = {version!r}\n",
            "shop/look.py": f"from shop.names import VERSION\n{LOOK}",
            # As projects have them that are translated: no module of theirs.
            "locale/de/names.po": "",
        }


def plan_of(framework: str, server: Server, module: str, attribute: str, **variables: str) -> StartPlan:
    """With variables that the framework reads, and that are no reason for a cold start."""
    given = {name: Variable(name, value, Origin.PROJECT) for name, value in variables.items()}
    chosen = target(module, attribute, framework=framework)
    return StartPlan(framework, Toolchain.PYTHON, server, chosen, variables=given)


DJANGO_PLAN = plan_of("django", Server.DJANGO, "project", "", DJANGO_SETTINGS_MODULE="project", SECRET_KEY="x")
KINDS: Mapping[str, Kind] = {
    "fastapi": Kind("fastapi", "main.py", FASTAPI, plan_of("fastapi", Server.ASGI, "main", "app", PYTHONPATH="shop")),
    "flask": Kind(
        "flask", "app.py", FLASK, plan_of("flask", Server.WSGI, "app", "app", FLASK_DEBUG="0", LANG="C.UTF-8")
    ),
    "django": Kind("django", "project.py", DJANGO, DJANGO_PLAN),
}


@pytest.fixture
async def rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=3)
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            if not isinstance(opened.service.previews._context.runtime, WarmRuntime):
                pytest.skip("no template can be made on this machine")
            yield opened


async def start(rig: Rig, kind: Kind, version: str) -> LivePreview:
    preview = await rig.start(kind.files(version), kind.plan)
    assert preview.record.state is State.RUNNING, story(preview)
    return preview


async def template_is_ready(rig: Rig) -> None:
    runtime = rig.service.previews._context.runtime
    assert isinstance(runtime, WarmRuntime)
    while not runtime.templates.ready:  # noqa: ASYNC110  a pool tells nobody that a template is ready
        await trio.sleep(0.01)


async def seen(preview: LivePreview) -> dict[str, Any]:
    """What the program finds, but for what is the preview's own."""
    # One that was cut may not be closed yet.
    looks = [await looked(preview) for _ in range(5)]
    return min(looks, key=lambda found: found["descriptors"])


async def looked(preview: LivePreview) -> dict[str, Any]:
    answer = await ask(preview)
    assert answer.status_code == 200, story(preview)
    text = answer.text.replace(preview.id, "ID").replace(str(preview.record.port), "PORT")
    found: dict[str, Any] = json.loads(text)
    # Names the process among those of the preview.
    assert found["variables"].pop(MARKER).startswith("ID")
    return found


async def assert_it_reports_its_route(preview: LivePreview) -> None:
    assert preview.control is not None
    report = await preview.control.ask_routes()
    assert report in {b"GET\ts/\n", b"GET\tf/\n", b"*\td/\td\n"}


async def kept_is_said(preview: LivePreview) -> None:
    while not any(line.startswith("a snapshot of the imported application is ready") for line in story(preview)):  # noqa: ASYNC110
        await trio.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_each_start_serves_the_code_of_the_moment(rig: Rig, kind: Kind) -> None:
    """One story for each kind, as an environment and a template are dear."""
    preview = await start(rig, kind, "one")
    assert "started cold: its template is not ready yet" in story(preview)
    cold = await seen(preview)
    await assert_it_reports_its_route(preview)
    await rig.service.previews.stop("g1")
    await template_is_ready(rig)

    preview = await start(rig, kind, "one")
    (sentence,) = (line for line in story(preview) if line.startswith("started "))
    assert sentence.startswith("started warm: ")
    assert sentence.endswith(" modules preloaded")
    warm = await seen(preview)
    assert warm == cold
    await assert_it_reports_its_route(preview)

    await rig.service.previews.restart(ANN, "g1")
    await kept_is_said(preview)
    forks = [line for line in story(preview) if line.startswith("started ")]
    await rig.service.previews.restart(ANN, "g1")
    assert [line for line in story(preview) if line.startswith("started ")] == forks
    assert await seen(preview) == cold
    await assert_it_reports_its_route(preview)

    await rig.service.previews.reload(ANN, "g1", FilesChange({"shop/names.py": b"VERSION = 'two'\n"}))
    assert await seen(preview) == {**cold, "version": "two"}
    await rig.service.previews.restart(ANN, "g1")
    assert await seen(preview) == {**cold, "version": "two"}


async def test_an_application_that_cannot_be_kept_leaves_the_template_to_others(rig: Rig) -> None:
    kind = KINDS["flask"]
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    files = {**kind.files("one"), kind.file: thread + kind.app}
    preview = await rig.start(files, kind.plan)
    await template_is_ready(rig)
    await rig.service.previews.restart(ANN, "g1")
    refused = "no snapshot for restarts: starts a thread"
    await says(preview, refused)
    await rig.service.previews.restart(ANN, "g1")
    told = [line.partition(":")[0] for line in story(preview) if line.startswith("started ")]
    assert told == ["started cold", "started warm", "started warm"]
    assert story(preview).count(refused) == 1


async def test_new_code_takes_the_spare_slot_and_finds_what_a_cold_start_does(rig: Rig) -> None:
    kind = KINDS["fastapi"]
    cold = await seen(await start(rig, kind, "one"))
    await rig.service.previews.stop("g1")
    slot = await spare_slot(rig)
    preview = await start(rig, kind, "two")
    assert preview.id == slot.id
    assert await seen(preview) == {**cold, "version": "two"}


async def spare_slot(rig: Rig) -> PreviewSlot:
    slots = rig.service.previews.slots
    while not (ready := [one for one in slots._spares.values() if one.is_ready]):  # noqa: ASYNC110  nobody tells
        await trio.sleep(0.01)
    (slot,) = ready
    return slot


RUNS = "open('runs', 'a').write('x')\n"


async def started_again(rig: Rig, monkeypatch: pytest.MonkeyPatch, plan: StartPlan) -> LivePreview:
    """Start code that was never seen, by this plan, which is known only once it runs."""
    kind = KINDS["fastapi"]
    await start(rig, kind, "one")
    await rig.service.previews.stop("g1")
    await spare_slot(rig)

    async def late(preview: LivePreview, *arguments: Any, is_still: bool) -> Any:
        while not is_still and not runs_file(preview).exists():  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.002)
        return await decide(preview, *arguments, is_still=is_still)

    monkeypatch.setattr(prestart, "decide", late)
    return await rig.start({**kind.files("two"), kind.file: RUNS + kind.app}, plan)


def runs_file(preview: LivePreview) -> Path:
    assert preview.directory is not None
    return preview.directory / "runs"


async def test_new_code_runs_before_its_files_are_read(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = await started_again(rig, monkeypatch, KINDS["fastapi"].plan)
    assert (await looked(preview))["version"] == "two"
    assert runs_file(preview).read_text() == "x"
    (sentence,) = (line for line in story(preview) if line.startswith("started "))
    assert sentence.startswith("started warm: ")


async def test_new_code_that_starts_otherwise_is_restarted_and_nothing_of_the_first_time_is_left(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"COLOUR": Variable("COLOUR", "red", Origin.PROJECT)}
    preview = await started_again(rig, monkeypatch, replace(KINDS["fastapi"].plan, variables=given))
    found = await looked(preview)
    assert (found["version"], found["variables"]["COLOUR"]) == ("two", "red")
    assert runs_file(preview).read_text() == "x"
    assert sum(line.startswith("restarted: ") for line in story(preview)) == 1
    runtime = rig.service.previews._context.runtime
    assert isinstance(runtime, WarmRuntime)
    assert [await one.wait() for one in runtime._speculative.values()] == [False]
