"""Launches of a generation: list, detail, comparison, and the logs of earlier ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from http_kit import World, open_world

from preview.http.contracts.history import launches

FLASK = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'
APP = """
def app(environ, start_response):
    print("SAYS", environ["PATH_INFO"], flush=True)
    if environ["PATH_INFO"] == "/broken":
        raise KeyError("isbn")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine"]
"""


def path_of(generation_id: str, rest: str = "") -> str:
    return f"/api/v1/generations/{generation_id}/launches{rest}"


async def call(world: World, generation_id: str, launched: dict[str, Any], path: str) -> None:
    answer = await world.ask(
        "POST",
        f"/api/v1/generations/{generation_id}/preview/request",
        {"method": "GET", "path": path},
        headers={"X-Preview-Token": launched["session_token"]},
    )
    assert answer.status_code == 200, answer.text


async def test_launches_are_their_owners_only(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep({"main.py": APP, "preview.toml": FLASK})
        other = await world.keep({"main.py": APP, "preview.toml": FLASK}, user="ben", project="b")
        launched = await world.launch(made)
        preview = launched["id"]
        assert (await world.ask("GET", path_of(made), user="ben")).status_code == 404
        # Not even by way of an own generation.
        for rest in (f"/{preview}", f"/{preview}/compare?against={preview}"):
            assert (await world.ask("GET", path_of(other, rest), user="ben")).status_code == 404
        for wrong in ("none", "..%2f..", "%00"):
            assert (await world.ask("GET", path_of(made, f"/{wrong}"))).status_code == 404
        assert (await world.ask("GET", path_of(made, f"/{preview}/compare"))).status_code == 404
        stream = f"/api/v1/generations/{other}/preview/logs/stream?follow=false&preview_id={preview}"
        foreign = await world.ask("GET", stream, user="ben")
        assert foreign.status_code == 404


async def test_earlier_launches_are_listed_read_and_compared(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep({"main.py": APP.replace("SAYS", "one"), "preview.toml": FLASK})
        launched = await world.launch(made)
        first = launched["id"]
        await call(world, made, launched, "/books/1")
        await call(world, made, launched, "/broken")
        await world.stop_preview(made)
        files = f"/api/v1/generations/{made}/files"
        await world.ask("PATCH", files, {"files": {"main.py": APP.replace("SAYS", "two")}})
        answer = await world.ask(
            "POST", f"/api/v1/generations/{made}/preview/launch",
            {"env": {"SECRET": "geheim"}, "start": {"health": "/"}}, headers={"Prefer": "wait=60"},
        )  # fmt: skip
        assert answer.status_code == 201, answer.text
        launched = answer.json()
        second = launched["id"]
        await call(world, made, launched, "/books/2")
        reloaded = await world.ask("PATCH", files, {"files": {"note.txt": "x"}})
        assert reloaded.json()["reload"]["status"] == "reloaded"

        page = (await world.ask("GET", path_of(made))).json()
        launches.LaunchList.model_validate(page)
        newer, older = page["items"]
        assert [(one["preview_id"], one["status"]) for one in page["items"]] == [
            (second, "running"),
            (first, "stopped"),
        ]
        assert (older["version"], newer["version"], newer["reloads"], older["cause"]) == (1, 3, 1, "user")
        assert older["lines"] > 0
        assert older["requests"] >= 2
        assert older["failures"] == 1
        assert older["launch_ms"] > 0

        detail = (await world.ask("GET", path_of(made, f"/{second}"))).json()
        launches.LaunchDetail.model_validate(detail)
        assert {"name": "env.SECRET", "value": "set"} in detail["settings"]
        assert "geheim" not in (await world.ask("GET", path_of(made, f"/{second}"))).text
        assert [one["name"] for one in detail["steps"]] == ["files", "environment", "process", "answers"]

        found = (await world.ask("GET", path_of(made, f"/{second}/compare?against={first}"))).json()
        launches.LaunchComparison.model_validate(found)
        assert {one["name"] for one in found["settings"]} == {"env.SECRET", "start.health"}
        assert [one["type"] for one in found["gone_failures"]] == ["KeyError"]
        assert found["new_failures"] == []
        books = next(one for one in found["endpoints"] if one["endpoint"] == "GET /books/{id}")
        assert (books["before"]["requests"], books["after"]["requests"]) == (1, 1)

        for form in ("logs/stream?follow=false&", "logs?"):
            log = (await world.ask("GET", f"/api/v1/generations/{made}/preview/{form}preview_id={first}")).text
            assert "one /books/1" in log
            assert "two /books" not in log
