"""A push, cut by SIGKILL: the version is there with all its files, or it is not there at all."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from fault_client import Unanswered
from fault_service import Gone
from fault_world import World, open_world

FILES = 400


def project(round_: int) -> dict[str, str]:
    return {f"folder/file{number}.py": f"round = {round_}\nnumber = {number}\n" for number in range(FILES)}


@pytest.mark.long
@pytest.mark.parametrize("delays_s", [(0.06,), pytest.param((0.0, 0.01, 0.03, 0.12), marks=pytest.mark.long)])
async def test_a_service_killed_in_a_push_has_the_whole_version_or_none(
    tmp_path: Path, cache: Path, delays_s: tuple[float, ...]
) -> None:
    async with open_world(tmp_path, cache) as world:
        generation = await world.keep(project(0))
        newest = 1
        for round_, delay_s in enumerate(delays_s, start=1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(push, world, generation, round_)
                await trio.sleep(delay_s)
                await world.service.kill()
            await world.restart()
            found = await versions(world, generation)
            print(f"killed {delay_s * 1000:g} ms after the request: version {found[0]['number']}")
            assert found[0]["number"] in (newest, newest + 1)
            # No number is missing or there twice, and each version says what its files are.
            newest = found[0]["number"]
            assert [one["number"] for one in found] == list(range(newest, 0, -1))
            # The files are those of one push, and of the version that says so.
            now = await current(world, generation)
            assert now in [hashes(one) for one in range(round_ + 1)]
            detail = (await world.client.ask("GET", path(generation, f"/{newest}"))).body
            assert {one["path"]: one["sha256"] for one in detail["files"]} == now
            for one in found:
                detail = (await world.client.ask("GET", path(generation, f"/{one['number']}"))).body
                assert len(detail["files"]) == FILES
        # What is kept can be restored.
        assert (await world.client.ask("POST", path(generation, "/1/restore"))).status == 200
        assert await current(world, generation) == hashes(0)


def path(generation: str, rest: str = "") -> str:
    return f"/api/v1/generations/{generation}/versions{rest}"


async def push(world: World, generation: str, round_: int) -> None:
    try:
        await world.client.ask("PUT", f"/api/v1/generations/{generation}/files", {"files": project(round_)})
    except (Unanswered, Gone) as error:  # the service is killed meanwhile
        print(f"not answered: {error}")


async def versions(world: World, generation: str) -> list[dict[str, Any]]:
    answer = await world.client.ask("GET", path(generation))
    assert answer.status == 200, answer
    items: list[dict[str, Any]] = answer.body["items"]
    return items


async def current(world: World, generation: str) -> dict[str, str]:
    """The hashes of the files as they are now."""
    answer = await world.client.ask("GET", f"/api/v1/generations/{generation}/files")
    assert answer.status == 200, answer
    return {one["path"]: one["sha256"] for one in answer.body["files"]}


def hashes(round_: int) -> dict[str, str]:
    return {name: sha256(text.encode()).hexdigest() for name, text in project(round_).items()}
