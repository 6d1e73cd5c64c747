"""A generation's deletion, cut by SIGKILL: the whole of it is there afterwards, or nothing is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
from fault_client import Unanswered
from fault_service import Gone
from fault_world import World, open_world

LINES = 5_000


# From before the transaction until after the answer: rows, lines and files go one after the other.
@pytest.mark.long
@pytest.mark.parametrize("delays_s", [(0.02,), pytest.param((0.0, 0.06, 0.1, 0.2), marks=pytest.mark.long)])
async def test_a_service_killed_in_a_deletion_leaves_a_whole_generation_or_nothing(
    tmp_path: Path, cache: Path, delays_s: tuple[float, ...]
) -> None:
    async with open_world(tmp_path, cache) as world:
        for delay_s in delays_s:
            generation, preview = await stopped_with_lines(world)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(delete, world, generation)
                await trio.sleep(delay_s)
                await world.service.kill()
            await world.restart()
            answer = await world.client.ask("GET", f"/api/v1/generations/{generation}/files")
            print(f"killed {delay_s * 1000:g} ms after the request: {answer.status}")
            if answer.status == 200:
                kept = await world.client.ask("GET", f"/api/v1/previews/{preview}")
                assert kept.status == 200, kept
                assert len(await world.client.page(generation, preview)) >= LINES
                world.free.clear()
                continue
            assert answer.status == 404, answer
            assert (await world.client.ask("GET", f"/api/v1/previews/{preview}")).status == 404
            await nothing_is_left(world, generation, preview)


async def stopped_with_lines(world: World) -> tuple[str, str]:
    generation = await world.keep()
    world.free.append(generation)
    async with world.preview() as held:
        await world.act(held, f"say/{LINES}")
    world.free.remove(generation)
    return generation, held.preview_id


async def delete(world: World, generation: str) -> None:
    try:
        await world.client.ask("DELETE", f"/api/v1/generations/{generation}")
    except (Unanswered, Gone) as error:  # the service is killed meanwhile
        print(f"not answered: {error}")


async def nothing_is_left(world: World, generation: str, preview: str) -> None:
    """No row, line or file has one of the names any more."""
    with trio.fail_after(60):
        while found := [*rows_left(world, generation, preview), *files_left(world, generation, preview)]:
            print(found[:5])
            await trio.sleep(0.2)


def files_left(world: World, *names: str) -> list[Path]:
    return [path for name in names for path in world.service.data.rglob(f"*{name}*")]


def rows_left(world: World, *names: str) -> list[str]:
    with closing(sqlite3.connect(f"file:{world.service.data / 'preview.db'}?mode=ro", uri=True)) as database:
        found_tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        # Who deleted it is kept.
        tables = [name for name in found_tables if name != "audit_trail"]
        found = []
        for table in tables:
            columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
            for column in columns:
                query = f'SELECT 1 FROM "{table}" WHERE "{column}" IN ({",".join("?" * len(names))}) LIMIT 1'
                if database.execute(query, names).fetchone():
                    found.append(f"{table}.{column}")
    return found
