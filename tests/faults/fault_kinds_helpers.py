"""Faults of what the service starts for itself: its broker, and its templates."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable

import fault_machine as machine
import trio
from fault_kinds import kind
from fault_ledger import Broken
from fault_world import Held, World

__all__: list[str] = []

# A connection may be reset while there is no broker.
_SERVES_S = 10


async def _expect_serving(world: World, held: Held) -> None:
    with trio.move_on_after(_SERVES_S):
        while await world.act(held, "say/10") != 200:  # noqa: ASYNC110  nothing tells of it
            await trio.sleep(0.02)
        return
    raise Broken(f"{held.preview_id} does not serve")


async def _kill_beside(world: World, rng: random.Random, find: Callable[[int], list[int]]) -> int:
    """Kill what is found while one preview serves and others are launched; the first lives on."""
    killed = 0

    async def kill() -> None:
        nonlocal killed
        for _ in range(rng.randrange(1, 5)):
            await trio.sleep(rng.random() * 0.5)
            killed += sum(machine.send(pid, signal.SIGKILL) for pid in find(world.service.pid))

    async with world.preview() as held:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kill)
            for _ in range(rng.randrange(1, 3)):
                async with world.preview() as other:
                    await _expect_serving(world, other)
                await _expect_serving(world, held)
            nursery.cancel_scope.cancel()
        answer = await world.client.ask("GET", f"/api/v1/previews/{held.preview_id}")
        if answer.status == 200 and answer.body["status"] != "running":
            raise Broken(f"{held.preview_id} did not live on: {answer}")
    return killed


@kind("broker killed", "SIGKILL to the broker while previews are launched and serve", weight=3, needs="broker")
async def kill_broker(world: World, rng: random.Random) -> int:
    return await _kill_beside(world, rng, machine.brokers)


@kind("template killed", "SIGKILL to templates while previews are forked from them and serve", weight=3,
      needs="templates")  # fmt: skip
async def kill_template(world: World, rng: random.Random) -> int:
    return await _kill_beside(world, rng, machine.templates)
