"""No answer waits for an acknowledgement: a preview's connections are accepted without Nagle's algorithm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from launch_kit import ANN, Rig, command, open_rig, story, target
from launch_projects import EXPRESS, NODE, PLAIN
from tcp_kit import connections_of, nagling

from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.runtime.kernel import proctree
from preview.runtime.launchers import BRIDGE
from preview.runtime.sandbox import SandboxRuntime
from preview.runtime.warm import WarmRuntime
from preview.settings import Settings
from preview.supervisor import LivePreview

ASGI = {
    "requirements.txt": "fastapi\n",
    "main.py": """
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
async def home(): return "hello"
""",
}
WSGI = {
    "requirements.txt": "flask\n",
    "main.py": """
from flask import Flask
app = Flask(__name__)
@app.get("/")
def home(): return "hello"
""",
}
DJANGO = {
    "requirements.txt": "django\n",
    "project.py": """
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
SECRET_KEY, DEBUG, ROOT_URLCONF, ALLOWED_HOSTS, INSTALLED_APPS = "x" * 50, False, "project", [], []
ASGI_APPLICATION = "asgi.application"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]  # says how long an answer is: else the connection ends
def home(request): return HttpResponse("hello")
urlpatterns = [path("", home)]
""",
    "asgi.py": "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
}
# As Node's servers were before its version 18, and those of `net` still are.
OLD_NODE = {
    "package.json": "{}",
    "server.js": """
require('http').createServer({ noDelay: false }, (request, response) => response.end('hello')).listen(3000);
""",
}
WORKERS = {"WORKERS": Variable("WORKERS", "2", Origin.PROJECT)}
SETTINGS = {"DJANGO_SETTINGS_MODULE": Variable("DJANGO_SETTINGS_MODULE", "project", Origin.PROJECT)}


def python(framework: str, server: Server, module: str = "main", attribute: str = "app", **more: object) -> StartPlan:
    chosen = target(module, attribute, framework=framework)
    return StartPlan(framework, Toolchain.PYTHON, server, chosen, **more)  # type: ignore[arg-type]  # fields of the plan


def node(*words: str, **more: object) -> StartPlan:
    return StartPlan("node", Toolchain.NODE, Server.NODE, None, command=words, **more)  # type: ignore[arg-type]  # as above


KINDS = {
    "uvicorn": (ASGI, python("fastapi", Server.ASGI)),
    "waitress": (WSGI, python("flask", Server.WSGI)),
    "Django": (DJANGO, python("django", Server.DJANGO, "project", "", variables=SETTINGS)),
    "Django by ASGI": (DJANGO, python("django", Server.ASGI, "project", "", variables=SETTINGS)),
    "Express": (EXPRESS, node("server.js")),
    "Node without noDelay": (OLD_NODE, node("server.js")),
    "Node's cluster": (NODE, node("server.mjs", variables=WORKERS)),
}


@asynccontextmanager
async def asked(preview: LivePreview) -> AsyncIterator[None]:
    """A connection that is kept behind its first answer."""
    assert preview.record.state is State.RUNNING, story(preview)
    async with await trio.open_tcp_stream(*preview.socket_address) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = await stream.receive_some()
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200"), answer
        yield


def leader(preview: LivePreview) -> int:
    assert preview.record.pid is not None
    return preview.record.pid


async def assert_nothing_is_held_back(preview: LivePreview) -> None:
    async with asked(preview):
        found = connections_of(leader(preview), *proctree.descendants(leader(preview)))
        assert found, "nobody has the connection"
        assert nagling(found) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_what_accepts_on_the_inherited_socket(rig: Rig, kind: str) -> None:
    preview = await rig.start(*KINDS[kind])
    await assert_nothing_is_held_back(preview)
    # The next process has the same socket.
    await rig.service.previews.restart(ANN, "g1")
    await assert_nothing_is_held_back(preview)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["uvicorn", "Node without noDelay"])
async def test_what_accepts_for_a_sandbox_that_the_socket_may_not_enter(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    runtime = rig.service.previews._context.runtime
    if not isinstance(runtime, SandboxRuntime):
        pytest.skip("no sandbox on this machine")
    monkeypatch.setattr(runtime, "_fences", False)
    await assert_nothing_is_held_back(await rig.start(*KINDS[kind]))


async def test_both_sides_of_the_bridge_to_a_program_that_listens_itself(rig: Rig) -> None:
    if not any(level.name == "sandbox" and level.holds for level in rig.service.rungs):
        pytest.skip("no sandbox: the program listens in the service's network, and nothing is between")
    preview = await rig.start(PLAIN, command("python", "serve.py", "$PORT"))
    bridges = [pid for pid in proctree.descendants(leader(preview)) if _is_bridge(pid)]
    async with await trio.open_tcp_stream(*preview.socket_address) as stream:
        # It waits for the rest of the request, and so does the bridge.
        await stream.send_all(b"GET / HTTP/1.1\r\n")
        # One from outside, one to the program. Nobody tells when both are there, and have their options.
        with trio.fail_after(60):
            while len(found := connections_of(*bridges)) < 2 or nagling(found):
                for one in found:
                    one.close()
                await trio.sleep(0.01)


def _is_bridge(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return str(BRIDGE).encode() in words


@pytest.fixture
async def warm_rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, warm_templates=3)
    with trio.fail_after(150):
        async with open_rig(settings, monkeypatch) as opened:
            if not isinstance(opened.service.previews._context.runtime, WarmRuntime):
                pytest.skip("no template can be made on this machine")
            yield opened


@pytest.mark.long
async def test_a_spare_slot_whose_socket_listens_late(warm_rig: Rig) -> None:
    await warm_rig.start(*KINDS["uvicorn"])
    await warm_rig.service.previews.stop("g1")
    slots = warm_rig.service.previews.slots
    while not (ready := [one.id for one in slots._spares.values() if one.is_ready]):  # noqa: ASYNC110  nobody tells
        await trio.sleep(0.01)
    preview = await warm_rig.start({**ASGI, "other.py": ""}, KINDS["uvicorn"][1])
    assert [preview.id] == ready
    assert any(line.startswith("started warm: ") for line in story(preview))
    await assert_nothing_is_held_back(preview)
