from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
from http_kit import World, open_world

# The standard library only: its environment is made in a moment.
START = '[start]\nframework = "flask"\nserver = "wsgi"\napp = "main:app"\n'


def backend(says: str) -> str:
    return f"""
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [{says!r}.encode()]
"""


FILES = {"main.py": backend("one"), "preview.toml": START}
# What its files of one kind hold, in the order of their names.
READING = """
import pathlib

said = "".join(sorted(one.read_text() for one in pathlib.Path(__file__).parent.glob("*.part")))


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]
"""


async def change(world: World, generation_id: str, body: Any) -> dict[str, Any]:
    answer = await world.ask("PATCH", f"/api/v1/generations/{generation_id}/files", body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def said(world: World, launched: dict[str, Any]) -> str:
    body = {"method": "GET", "path": "/"}
    path = f"/api/v1/generations/{launched['generation_id']}/preview/request"
    answer = await world.ask("POST", path, body, headers={"X-Preview-Token": launched["session_token"]})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["body"]
    return text


async def test_a_change_reaches_the_preview_that_runs(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        launched = await world.launch(made)
        assert await said(world, launched) == "one"
        shown = await change(world, made, {"files": {"main.py": backend("two")}})
        assert (shown["reload"]["status"], shown["reload"]["preview_id"]) == ("reloaded", launched["id"])
        assert shown["reload"]["elapsed_ms"] > 0
        assert await said(world, launched) == "two"


async def test_a_change_that_does_not_start_is_kept_and_the_old_process_serves_on(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        launched = await world.launch(made)
        broken = "print('about to fail', flush=True)\nraise SystemExit(3)\n"
        shown = await change(world, made, {"files": {"main.py": broken}})
        assert shown["reload"]["status"] == "failed"
        assert shown["reload"]["error"]["code"] == "launch_failed"
        assert any("about to fail" in line for line in shown["reload"]["error"]["details"]["last_lines"])
        assert await said(world, launched) == "one"
        assert (await world.ask("GET", f"/api/v1/generations/{made}/files/main.py")).text == broken
        shown = await change(world, made, {"files": {"main.py": backend("mended")}})
        assert shown["reload"]["status"] == "reloaded"
        assert await said(world, launched) == "mended"


async def test_a_change_of_nothing_reloads_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        await world.launch(made)
        shown = await change(world, made, {"files": {"main.py": FILES["main.py"]}, "remove": ["none"]})
        assert (shown["changed"], shown["removed"], shown["reload"]["status"]) == ([], [], "none")


async def test_a_change_while_the_preview_starts_reaches_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        launched = await world.launch(made, wait_s=None)
        shown = await change(world, made, {"files": {"main.py": backend("late")}})
        assert shown["reload"]["status"] == "reloaded"
        assert await said(world, launched) == "late"


async def test_changes_at_the_same_moment_all_reach_the_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep({**FILES, "main.py": READING})
        launched = await world.launch(made)
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(change, world, made, {"files": {f"{number}.part": str(number)}})
        assert await said(world, launched) == "012345"


async def test_a_change_whose_client_goes_away_reaches_the_preview(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        made = await world.keep(FILES)
        launched = await world.launch(made)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change, world, made, {"files": {"main.py": backend("two")}})
            while (await world.service.generations.get(made)).revision == 1:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        while await said(world, launched) != "two":
            await trio.lowlevel.checkpoint()
