"""A start that fails for want of a variable, a folder or a package is mended, and made again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from launch_kit import ANN, Rig, ask, story

from preview.core.lifecycle import State
from preview.detection import OWN_START
from preview.environments import Environment
from preview.errors import EnvironmentFailed, LaunchFailed
from preview.supervisor import LaunchRequest, LivePreview
from preview.supervisor.launch.planning import open_environment
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.life import run

# Neither the variable nor the folder can be read from the source.
SERVER = """
import http.server, os
with open("seen.txt", "a") as file: file.write("x")
KEY = dict(os.environ)["_".join(["STRIPE", "KEY"])]
LOG = open("/".join(["logs", "app.log"]), "a")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(f"{len(KEY)} {open('seen.txt').read()}".encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def launch(rig: Rig, text: str) -> LivePreview:
    return await launch_files(rig, {"main.py": text})


async def launch_files(rig: Rig, files: Mapping[str, str]) -> LivePreview:
    rig.source.projects["g1"] = files
    launched = await rig.service.previews.launch(LaunchRequest(ANN, "g1"))
    preview = rig.service.previews.find(launched.record.id)
    assert preview is not None
    await preview.settled.wait()
    return preview


async def test_a_start_is_made_again_with_what_its_last_lines_say_is_missing(rig: Rig) -> None:
    preview = await launch(rig, SERVER)
    said = story(preview)
    assert preview.record.state is State.RUNNING, said
    assert [line for line in said if line.endswith("starting again")] == [
        "the variable STRIPE_KEY has no usable value: using placeholders; starting again",
        "the folder logs is missing: making it; starting again",
    ]
    # The folders of a failed attempt are not those of the next one.
    assert (await ask(preview)).text == "64 x"
    await rig.service.previews.stop("g1")
    again = await launch(rig, SERVER)
    assert not [line for line in story(again) if line.endswith("starting again")]
    assert [line for line in story(again) if line.startswith("kept from the last launch: the variable STRIPE_KEY")]


@pytest.mark.long
async def test_a_start_that_asks_for_more_and_more_fails_in_the_end(rig: Rig) -> None:
    text = (
        'import os, sys\nnumber = sum(name.startswith("NO_") for name in os.environ)\nraise KeyError(f"NO_{number}")\n'
    )
    preview = await launch(rig, f"import http.server\nhttp.server.HTTPServer\n{text}http.server.HTTPServer(0, 0)\n")
    assert preview.record.state is not State.RUNNING
    assert isinstance(preview.cause, LaunchFailed)
    assert "NO_5" in preview.cause.message
    assert len([line for line in story(preview) if line.endswith("starting again")]) == 5


OPTIONAL_KEY = """
import os
from fastapi import FastAPI
key = os.getenv("MAIL_API_KEY")
if key:
    raise ValueError("this is no key of the mail service")
app = FastAPI()
@app.get("/")
def home() -> dict[str, object]:
    return {"has_key": key is not None}
"""


async def test_a_value_that_the_sources_can_do_without_is_withdrawn(rig: Rig) -> None:
    preview = await launch(rig, OPTIONAL_KEY)
    assert preview.record.state is State.RUNNING, story(preview)
    assert (await ask(preview)).json() == {"has_key": False}
    said = "the sources can do without MAIL_API_KEY: no value now; starting again"
    assert said in story(preview)


ALEMBIC = """
from alembic import context
import os
key = dict(os.environ)["_".join(["STRIPE", "KEY"])]
print(f"migrated with a key of {len(key)}")
"""
STORE = """
import os
from fastapi import FastAPI
from sqlalchemy import create_engine
engine = create_engine(os.getenv("DATABASE_URL", "sqlite:///shop.db"))
app = FastAPI()
@app.get("/")
def home(): return {}
"""


@pytest.mark.long
@pytest.mark.parametrize(("error", "is_mended"), [("", True), ("raise KeyError(key)", False)])
async def test_what_migrations_lack_is_added_though_the_application_would_start(
    rig: Rig, error: str, is_mended: bool
) -> None:
    files = {
        "main.py": STORE,
        "alembic.ini": "[alembic]\nscript_location = migrations\n",
        "migrations/env.py": ALEMBIC + error,
        "migrations/script.py.mako": "",
        "migrations/versions/1_a.py": "revision = '1'\ndown_revision = None\ndef upgrade(): pass\n",
    }
    preview = await launch_files(rig, files)
    said = story(preview)
    assert preview.record.state is State.RUNNING, said
    assert "migrated with a key of 64" in said
    assert len([line for line in said if line.endswith("starting again")]) == 1
    assert ("the application is started without the step migrations" in said) is not is_mended


async def test_a_package_that_cannot_be_installed_is_taken_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    @asynccontextmanager
    async def refuse(context: Any, analysis: ProjectAnalysis, *rest: Any, **more: Any) -> AsyncIterator[Environment]:
        asked.append(tuple(analysis.plan.extra_requirements))
        if "nowhere-at-all" in asked[-1]:
            raise EnvironmentFailed("No index has nowhere-at-all.", reason="not_found")
        async with open_environment(context, analysis, *rest, **more) as environment:
            yield environment

    monkeypatch.setattr(run, "open_environment", refuse)
    text = "import http.server\nraise ModuleNotFoundError(\"No module named 'nowhere_at_all'\")\n"
    preview = await launch(rig, f"{text}http.server.HTTPServer(('', 0), None).serve_forever()\n")
    assert asked == [(), ("nowhere-at-all",), ()]
    assert [line for line in story(preview) if "; starting again" in line] == [
        "the module nowhere_at_all is missing and no manifest names it: installing nowhere-at-all; starting again",
        "No index has nowhere-at-all; starting again without what was added",
    ]
    # The failure is the program's own, and the next launch does not begin with what was taken back.
    assert isinstance(preview.cause, LaunchFailed)
    assert "nowhere_at_all" in preview.cause.message
    assert not preview.mends.overrides.extra_requirements


# What the program prints as it ends: an error that a package raises.
CHANGED = """
import http.server, os, sys
print('Traceback (most recent call last):', file=sys.stderr)
print('  File "/packages/site-packages/shop/views.py", line 3, in view', file=sys.stderr)
print("TypeError: run() got an unexpected keyword argument 'loop'", file=sys.stderr)
sys.exit(1)
http.server.HTTPServer(0, 0)
"""


async def test_packages_of_the_project_s_day_are_tried_once_and_taken_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    @asynccontextmanager
    async def refuse(context: Any, analysis: ProjectAnalysis, *rest: Any, **more: Any) -> AsyncIterator[Environment]:
        assert analysis.asked is not None
        assert analysis.asked.is_dated is analysis.plan.is_dated
        asked.append(analysis.plan.is_dated)
        if asked[-1]:
            raise EnvironmentFailed("The packages of that day cannot be installed.", reason="not_found")
        async with open_environment(context, analysis, *rest, **more) as environment:
            yield environment

    monkeypatch.setattr(run, "open_environment", refuse)
    preview = await launch_files(rig, {"main.py": CHANGED, "CHANGELOG.md": "## 1.2.0 - 2021-03-04\n"})
    assert asked == [False, True, False]
    assert [line for line in story(preview) if "; starting again" in line] == [
        "the error comes from a package: choosing all packages as of the project's day; starting again",
        "The packages of that day cannot be installed; starting again without what was added",
    ]
    assert isinstance(preview.cause, LaunchFailed)
    assert not preview.mends.overrides.is_dated


async def test_the_project_s_own_command_is_tried_once_after_the_found_application(rig: Rig) -> None:
    served = SERVER.replace('dict(os.environ)["_".join(["STRIPE", "KEY"])]', '""')
    files = {
        "main.py": "import http.server\nfrom helpers import gone\nhttp.server.HTTPServer(0, 0)\n",
        "helpers.py": "",
        "logs/.keep": "",
        "tools/serve.py": served,
        "README.md": "# Shop\n\n```console\n$ python tools/serve.py\n```\n",
    }
    preview = await launch_files(rig, files)
    said = story(preview)
    assert preview.record.state is State.RUNNING, said
    command = '"python tools/serve.py" (README.md, line 4)'
    assert [line for line in said if line.endswith("starting again")] == [
        f"the application could not be loaded: it is {OWN_START} {command}; starting again"
    ]
    await rig.service.previews.stop("g1")
    # The next version begins with the application. Only one command is tried, and its error is reported.
    rig.source.revision = 2
    files["tools/serve.py"] = "import http.server\nraise NameError('second')\nhttp.server.HTTPServer(0, 0)\n"
    rig.source.projects["g1"] = files
    again = await launch_files(rig, files)
    assert isinstance(again.cause, LaunchFailed)
    assert "second" in again.cause.message
    assert not [line for line in story(again) if line.startswith("kept from the last launch")]
    assert len([line for line in story(again) if line.endswith("starting again")]) == 1
