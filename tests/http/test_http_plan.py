"""How a generation would be started, and launches that decide parts of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_kit import FILES, open_world

from preview.errors import TooComplex
from preview.http.contracts import generations

PLAN = "/api/v1/generations/{}/plan"


async def test_the_plan_is_shown_without_a_launch(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep({"main.py": "from fastapi import FastAPI\napp = FastAPI()\n"})
        answer = await world.ask("GET", PLAN.format(generation))
        shown = generations.Plan.model_validate(answer.json())
        assert (answer.status_code, shown.app, shown.server) == (200, "main:app", "asgi")
        assert world.service.previews.active(generation) is None


async def test_a_project_that_is_nothing_has_no_plan(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep({"README.md": "nothing"})
        answer = await world.ask("GET", PLAN.format(generation))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_generation")


async def test_the_plan_is_read_as_a_launch_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the service's reader, which is a confined process: never by the service itself."""

    async def give_up(*_: object) -> None:
        raise TooComplex("The project takes more than 10 s to analyse.")

    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        monkeypatch.setattr(type(world.service.reader), "analyse", give_up)
        answer = await world.ask("GET", PLAN.format(generation))
        assert (answer.status_code, answer.json()["code"]) == (400, "too_complex")


async def test_another_users_plan_is_not_shown(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        assert (await world.ask("GET", PLAN.format(generation), user="eve")).status_code == 404


@pytest.mark.parametrize("prefix", ["/api/v1", "/api"])
async def test_a_mistake_in_what_a_launch_decides_is_named(tmp_path: Path, prefix: str) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        path = f"{prefix}/generations/{generation}/preview/launch"
        answer = await world.ask("POST", path, {"start": {"helth": "/x"}})
        assert answer.status_code == 400
        assert 'there is no key "start.helth"; did you mean "health"?' in answer.text.replace("\\", "")


@pytest.mark.parametrize(("prefix", "key"), [("/api/v1", "python_path"), ("/api", "pythonPath")])
async def test_what_a_launch_decides_reaches_the_preview(tmp_path: Path, prefix: str, key: str) -> None:
    files = {
        "main.py": "import os\nfrom fastapi import FastAPI\nimport beside\napp = FastAPI()\n"
        '@app.get("/")\ndef said():\n    return os.environ["SAID"] + beside.MORE\n',
        "odd place/beside.py": 'MORE = " there"\n',
        "requirements.txt": "fastapi\nuvicorn\n",
    }
    async with open_world(tmp_path) as world:
        generation = await world.keep(files)
        path = f"{prefix}/generations/{generation}/preview/launch"
        body = {"start": {key: ["odd place"]}, "env": {"SAID": "hello"}}
        answer = await world.ask("POST", path, body, headers={"Prefer": "wait=60"})
        assert answer.status_code in {200, 201}, answer.text
        active = world.service.previews.active(generation)
        assert active is not None
        asked = await world.client.get(f"{active.record.base_url}/")
        assert asked.json() == "hello there"
