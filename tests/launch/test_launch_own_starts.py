"""When the project's own command replaces the found application, and when the application comes back."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from launch_kit import ANN, Rig, ask, story

from preview.core.isolation import Network
from preview.core.lifecycle import State
from preview.detection import OWN_START, Overrides, Server, StartPlan, Step, Toolchain
from preview.endpoints import AppTarget
from preview.environments import Environment
from preview.errors import EnvironmentFailed, LaunchFailed
from preview.settings import Settings
from preview.supervisor import FilesChange, LaunchRequest, LivePreview
from preview.supervisor.launch import preparation
from preview.supervisor.launch.planning import open_environment
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.life import run
from preview.supervisor.mending.starts import has_failed_to_load
from preview.supervisor.preview import network
from preview.supervisor.preview.mends import Mends
from preview.supervisor.process.processes import Processes
from preview.supervisor.process.server_process import ServerProcess

ROOT = "/data/previews/p/project"
TRACE = "Traceback (most recent call last):"
LAUNCHER = '  File "/packages/preview/runtime/launchers/preview_serving.py", line 100, in load_application'
ENTRY = f'  File "{ROOT}/shop/main.py", line 3, in <module>'
OTHER = f'  File "{ROOT}/shop/orders.py", line 3, in <module>'
PACKAGE = '  File "/cache/environments/1/lib/python3.11/site-packages/flask/app.py", line 3, in run'

MAIN = AppTarget("shop.main", "app", ".", False, "shop/main.py", "found", "fastapi")
APPLICATION = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, MAIN)
FACTORY = replace(APPLICATION, target=replace(MAIN, attribute="create_app", factory=True))
WANTS = "create_app() missing 1 required positional argument: 'config_name'"
PROGRAM = StartPlan("command", Toolchain.PYTHON, Server.COMMAND, None, command=("python", "main.py"), directory="shop")
NODE = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("index.js",))


@pytest.mark.parametrize("plan", [APPLICATION, PROGRAM, NODE])
@pytest.mark.parametrize(
    "lines",
    [
        [TRACE, LAUNCHER, ENTRY, "    ordrs", "NameError: name 'ordrs' is not defined"],
        [TRACE, LAUNCHER, f'  File "{ROOT}/shop/main.py", line 3', "    def (", "SyntaxError: invalid syntax"],
        [TRACE, LAUNCHER, ENTRY, "    app.x", "AttributeError: 'FastAPI' object has no attribute 'x'"],
        [TRACE, ENTRY, PACKAGE, "TypeError: run() got an unexpected keyword argument 'prt'"],
        [TRACE, ENTRY, OTHER, "ImportError: cannot import name 'ordr' from 'shop.models'"],
        [TRACE, ENTRY, OTHER, "ModuleNotFoundError: No module named 'gone'"],
        [TRACE, PACKAGE, "ModuleNotFoundError: No module named 'gone'"],
        ["sqlalchemy.exc.OperationalError: no such table"],
        [f"{ROOT}/index.js:3", "ReferenceError: ap is not defined", f"    at Object.<anonymous> ({ROOT}/index.js:3:1)"],
        ["Error: Cannot find module './userz'", "Require stack:", f"- {ROOT}/routes/a.js", f"- {ROOT}/index.js"],
        [f"Error [ERR_MODULE_NOT_FOUND]: Cannot find module '{ROOT}/b.js' imported from {ROOT}/routes/a.js"],
    ],
)
def test_a_mistake_in_the_code_is_no_failure_to_load(lines: list[str], plan: StartPlan) -> None:
    assert not has_failed_to_load(lines, plan, ROOT)


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (FACTORY, [TRACE, LAUNCHER, ENTRY, f"TypeError: {WANTS}"]),
        (FACTORY, [TRACE, LAUNCHER, "TypeError: make() missing 1 required positional argument: 'a'"]),
        (APPLICATION, [TRACE, LAUNCHER, f"TypeError: {WANTS}"]),
    ],
)
def test_another_call_without_its_argument_is_no_failure_to_load(plan: StartPlan, lines: list[str]) -> None:
    assert not has_failed_to_load(lines, plan, ROOT)


@pytest.mark.parametrize("line", ["Killed", "listening failed: address in use", "missing STRIPE_KEY, exiting"])
def test_an_application_that_ends_without_an_error_is_kept(line: str) -> None:
    assert not has_failed_to_load([line], APPLICATION, ROOT)
    assert has_failed_to_load([line], PROGRAM, ROOT)


@pytest.mark.parametrize(
    ("plan", "lines"),
    [
        (APPLICATION, ["The module 'shop.main' has no 'app' to serve: name another in preview.toml"]),
        (APPLICATION, [TRACE, LAUNCHER, ENTRY, "    import x", "ModuleNotFoundError: No module named 'x'"]),
        (PROGRAM, [TRACE, ENTRY, "    from a import b", "ImportError: cannot import name 'b' from 'a'"]),
        (APPLICATION, [TRACE, LAUNCHER, ENTRY, PACKAGE, "ImportError: cannot import name 'b' from 'flask'"]),
        (APPLICATION, [TRACE, LAUNCHER, "ModuleNotFoundError: No module named 'shop'"]),
        (FACTORY, [TRACE, LAUNCHER, "    return found() if factory else found", f"TypeError: {WANTS}"]),
        (FACTORY, [f"ERROR:    Error loading ASGI app factory: {WANTS}"]),
        (APPLICATION, [TRACE, OTHER, "KeyError: 1", "", TRACE, ENTRY, "ImportError: cannot import name 'b' from 'a'"]),
        (NODE, [f"Error: Cannot find module '{ROOT}/index.js'", "    at Module.x", "  requireStack: []"]),
        (NODE, ["Error: Cannot find module 'gone'", "Require stack:", f"- {ROOT}/index.js"]),
        (NODE, [f"Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'gone' imported from {ROOT}/index.js"]),
    ],
)
def test_an_entry_that_cannot_be_imported_has_failed_to_load(plan: StartPlan, lines: list[str]) -> None:
    assert has_failed_to_load(lines, plan, ROOT)


def test_an_own_start_is_taken_back_if_its_packages_cannot_be_installed() -> None:
    mends = Mends()
    mends.add(1, Overrides(is_own_start=True), (), "own")
    assert mends.take_back()
    assert mends.overrides == Overrides()
    assert not mends.take_back()


# The program ends as one whose entry cannot be imported.
LOST = "import http.server\nfrom helpers import gone\nhttp.server.HTTPServer(0, 0)\n"
SERVE = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(b"demo")
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILES = {
    "main.py": LOST,
    "helpers.py": "",
    "tools/serve.py": SERVE,
    "README.md": "```console\n$ python tools/serve.py\n```\n",
}


async def launch(rig: Rig, files: Mapping[str, str]) -> LivePreview:
    rig.source.projects["g1"] = files
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g1", startup_timeout_s=60))
    preview = rig.service.previews.find(launched.record.id)
    assert preview is not None
    await preview.settled.wait()
    return preview


def again(preview: LivePreview) -> list[str]:
    return [line for line in story(preview) if "starting again" in line]


async def test_another_application_never_hides_a_mistake_in_the_code(rig: Rig) -> None:
    preview = await launch(rig, {**FILES, "main.py": LOST.replace("from helpers import gone", "ordrs")})
    assert isinstance(preview.cause, LaunchFailed)
    assert "ordrs" in preview.cause.message
    assert not again(preview)


async def test_a_failed_step_never_starts_another_application(rig: Rig) -> None:
    step = '[start]\nsteps = ["python prepare.py"]\n'
    files = {**FILES, "preview.toml": step, "prepare.py": "import sys\nsys.exit('stopping')\n"}
    preview = await launch(rig, files)
    assert isinstance(preview.cause, LaunchFailed)
    assert not again(preview), story(preview)


async def test_packages_of_an_own_start_hide_no_error_of_the_program(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def refuse(context: Any, analysis: ProjectAnalysis, *rest: Any, **more: Any) -> AsyncIterator[Environment]:
        asked.append(analysis.plan.command)
        if "tools/serve.py" in analysis.plan.command:
            raise EnvironmentFailed("No index has nowhere.", reason="not_found")
        async with open_environment(context, analysis, *rest, **more) as environment:
            yield environment

    monkeypatch.setattr(run, "open_environment", refuse)
    preview = await launch(rig, FILES)
    assert [command[-1] for command in asked] == ["main.py", "tools/serve.py", "main.py"]
    assert isinstance(preview.cause, LaunchFailed)
    assert "gone" in preview.cause.message


async def test_the_application_comes_back_with_the_change_that_mends_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = "from helpers import gone\n" + SERVE.replace('b"demo"', "gone")
    preview = await launch(rig, {**FILES, "main.py": found})
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview)).text == "demo"
    # A page cannot mend an import.
    await rig.service.previews.reload(ANN, "g1", FilesChange({"index.html": b"hello"}))
    assert not [line for line in story(preview) if line.startswith("the found application")]
    # It still fails: the project's own command goes on, with the change.
    change = {"tools/serve.py": SERVE.replace("demo", "two").encode()}
    await rig.service.previews.reload(ANN, "g1", FilesChange(change))
    assert (await ask(preview)).text == "two"
    assert [line for line in story(preview) if line.startswith("the found application does not start yet: ")]
    # Nor does an error of the system end the preview.
    start = Processes.start

    async def refuse(self: Processes, prepared: PreparedLaunch, *rest: Any) -> ServerProcess:
        if prepared.plan.command[-1] == "main.py":
            raise OSError(errno.EMFILE, "Too many open files")
        return await start(self, prepared, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Processes, "start", refuse)
        await rig.service.previews.reload(ANN, "g1", FilesChange({"helpers.py": b"one = 1\n"}))
    assert (await ask(preview)).text == "two"
    assert any("yet: Too many open files; starting the project's" in line for line in story(preview)), story(preview)
    # The entry stays as it is: what it imports has changed.
    await rig.service.previews.reload(ANN, "g1", FilesChange({"helpers.py": b"gone = b'mine'\n"}))
    assert (await ask(preview)).text == "mine"
    assert "the found application starts now, and replaces the project's own command" in story(preview)
    # From here on a mistake is reported, and starts nothing else.
    assert preview.overrides is None or not preview.overrides.is_own_start
    assert len([line for line in story(preview) if OWN_START in line and line.endswith("starting again")]) == 1


async def test_a_found_application_that_fails_again_leaves_neither_rows_nor_its_network(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = preparation.decide
    seed = Step("seed", ("python", "-c", "open('rows', 'a').write('seed ')"), ".", "a README names it")
    tables = Step("tables", ("python", "-c", "open('rows', 'a').write('tables ')"), ".", "the sources ask for them")

    async def decide_with_steps(preview: LivePreview, *rest: Any, **more: Any) -> ProjectAnalysis:
        analysis = await decide(preview, *rest, **more)
        is_own = preview.overrides is not None and preview.overrides.is_own_start
        return analysis if is_own else replace(analysis, plan=replace(analysis.plan, steps=(tables, seed)))

    def choose_network(settings: Settings, plan: StartPlan) -> Network:
        return Network.HOST if seed in plan.steps else network.choose_network(settings, plan)

    monkeypatch.setattr(preparation, "decide", decide_with_steps)
    monkeypatch.setattr(preparation, "choose_network", choose_network)
    preview = await launch(rig, FILES)
    assert preview.confinement is not None
    own = preview.confinement.network
    for said in ("two", "three"):
        change = {"tools/serve.py": SERVE.replace("demo", said).encode()}
        await rig.service.previews.reload(ANN, "g1", FilesChange(change))
        assert (await ask(preview)).text == said
        assert preview.confinement.network is own, story(preview)
    assert len([line for line in story(preview) if line.startswith("the found application does not start yet: ")]) == 2
    assert preview.directory is not None
    assert await trio.Path(preview.directory / "rows").read_text() == "tables "


FACTORY_PY = """
from flask import Flask

def create_app(config_name):
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: {"dev": "demo"}[config_name])
    return app
"""
COMMANDS = """
import click
from shop import create_app

@click.group()
def commands():
    pass

@commands.command()
@click.option("--env", default="dev")
def runserver(env):
    create_app(env).run(port=5000)

@commands.command()
def drop():
    raise SystemExit("dropped")

if __name__ == "__main__":
    commands()
"""


async def test_a_factory_that_requires_an_argument_is_started_by_the_project_s_command(rig: Rig) -> None:
    readme = "```console\n$ python run.py drop\n$ python run.py runserver\n```\n"
    files = {"shop/__init__.py": FACTORY_PY, "run.py": COMMANDS, "requirements.txt": "flask\n", "README.md": readme}
    preview = await launch(rig, files)
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview)).content == b"demo"
