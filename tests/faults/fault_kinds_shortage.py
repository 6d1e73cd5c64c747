"""Faults of what the service stands on: its database locked, no descriptor free, its disk full."""

from __future__ import annotations

import random
import resource
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress

import trio
from fault_client import Unanswered
from fault_kinds import kind
from fault_kinds_service import under_load
from fault_ledger import Broken
from fault_project import FILES
from fault_world import Held, World

__all__ = ["fill_disk", "shortage_under_load", "use"]

# Answers that may be given while something is short; anything else is nobody's decision.
_SAID = {200, 201, 204, 404, 409, 429, 503, 504, 507}
_SAID_LAUNCH = {"launch_failed", "environment_failed", "startup_timeout"}


async def use(world: World, rng: random.Random, held: list[Held]) -> None:
    """Whatever a user may do meanwhile: each answer is one that says what is wrong."""

    async def one() -> None:
        with suppress(Unanswered):
            match rng.randrange(6):
                case 0:
                    answer = await world.client.ask("GET", "/api/v1/previews")
                case 1:
                    answer = await world.client.ask("GET", world.path(rng.choice(held).generation_id, "/status"))
                case 2:
                    answer = await world.client.ask("GET", world.path(rng.choice(held).generation_id, "/logs"))
                case 3:
                    body = {"project_id": "faults", "files": FILES}
                    answer = await world.client.ask("POST", "/api/v1/generations", body)
                case _:
                    answer = await _launch_and_stop(world)
            if answer.status not in _SAID and answer.code not in _SAID_LAUNCH:
                raise Broken(f"while something is short: {answer}")

    async with trio.open_nursery() as nursery:
        for _ in range(rng.randrange(2, 6)):
            nursery.start_soon(one)


async def _launch_and_stop(world: World):  # type: ignore[no-untyped-def]
    generation_id = await world.generation()
    answer = await world.ask_launch(generation_id)
    for _ in range(50):
        with suppress(Unanswered):
            await world.stop(generation_id)
            break
        await trio.sleep(0.1)
    return answer


async def shortage_under_load(world: World, rng: random.Random, shortage: Callable[[], Awaitable[None]]) -> None:
    async def during(held: list[Held]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(use, world, rng, held)
            await trio.sleep(rng.random() * 0.1)
            for preview in held:
                nursery.start_soon(world.act, preview, f"say/{rng.randrange(1, 3000)}")
            await shortage()

    await under_load(world, rng, during)


@kind("database locked", "Another process holds SQLite's write lock for up to three seconds",
      weight=2, alone=True, needs="sqlite")  # fmt: skip
async def lock_database(world: World, rng: random.Random) -> int:
    async def shortage() -> None:
        with closing(sqlite3.connect(world.service.data / "preview.db", isolation_level=None, timeout=10)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            await trio.sleep(rng.random() * 3)
            rival.execute("ROLLBACK")

    await shortage_under_load(world, rng, shortage)
    return 1


@kind("database locked for long", "The same for longer than the service waits for a lock",
      weight=0.2, alone=True, needs="sqlite")  # fmt: skip
async def lock_database_long(world: World, rng: random.Random) -> int:
    async def shortage() -> None:
        with closing(sqlite3.connect(world.service.data / "preview.db", isolation_level=None, timeout=10)) as rival:
            rival.execute("BEGIN IMMEDIATE")
            await trio.sleep(11 + rng.random() * 3)
            rival.execute("ROLLBACK")

    await shortage_under_load(world, rng, shortage)
    return 1


@kind("no descriptor free", "RLIMIT_NOFILE of the running service lowered to what it has open, or just above",
      weight=3, alone=True)  # fmt: skip
async def exhaust_descriptors(world: World, rng: random.Random) -> int:
    times = rng.randrange(1, 4)

    async def shortage() -> None:
        for _ in range(times):
            have = len(world.service.descriptors())
            with world.service.limited(resource.RLIMIT_NOFILE, have + rng.randrange(-2, 12)):
                await trio.sleep(rng.random() * 0.6)
            await trio.sleep(rng.random() * 0.1)

    await shortage_under_load(world, rng, shortage)
    return times


def fill_disk(world: World) -> None:
    """Fill the data folder's file system to the last byte."""
    with (world.service.data / "ballast").open("ab", buffering=0) as ballast:
        for size in (2**20, 2**12, 1):
            with suppress(OSError):
                while True:
                    ballast.write(b"\0" * size)


@kind("disk full", "The data folder's file system is full for up to a second", weight=2, alone=True, needs="tmpfs")
async def full_disk(world: World, rng: random.Random) -> int:
    async def shortage() -> None:
        fill_disk(world)
        await trio.sleep(rng.random())
        (world.service.data / "ballast").unlink()

    await shortage_under_load(world, rng, shortage)
    return 1
