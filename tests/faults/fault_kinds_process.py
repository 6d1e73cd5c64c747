"""Faults of a preview's own processes: killed, stopped, out of memory, leaving daemons behind."""

from __future__ import annotations

import random
import signal

import fault_machine as machine
import trio
from fault_kinds import kind
from fault_ledger import Broken
from fault_world import Held, World

__all__ = ["DEADLY"]

DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM)


def app_of(held: Held) -> list[int]:
    """The processes that are the application itself, not its children and not what guards it."""
    return [pid for pid in held.pids() if "serve_wsgi" in machine.name_of(pid) and "bwrap" not in machine.name_of(pid)]


async def _expect_failed(world: World, held: Held, *words: str) -> None:
    row = await world.wait_over(held)
    if row["status"] != "failed" or not row["reason"]:
        raise Broken(f"{held.preview_id} was killed, and its row says {row}")
    if words and not any(word in row["reason"] for word in words):
        raise Broken(f"{held.preview_id} should say {words[0]!r}, and says {row['reason']!r}")


@kind("application killed", "SIGKILL, SIGSEGV, SIGABRT, SIGBUS or SIGTERM to the preview's own process", weight=5)
async def kill_child(world: World, rng: random.Random) -> int:
    number = rng.choice(DEADLY)
    async with world.preview() as held:
        if rng.random() < 0.5:
            await world.act(held, f"say/{rng.randrange(1, 2000)}")
        await trio.sleep(rng.random() * 0.1)
        for pid in app_of(held):
            machine.send(pid, number)
        await _expect_failed(world, held)
    return 1


@kind("killed while it starts", "SIGKILL to whatever runs of the preview, at any moment of its start", weight=3)
async def kill_while_starting(world: World, rng: random.Random) -> int:
    async with world.preview(wait_s=0) as held:
        with trio.move_on_after(rng.random() * 0.15):
            await trio.sleep_forever()
        hit = [machine.send(pid, signal.SIGKILL) for pid in held.pids()]
    return max(1, len(hit))


@kind("stopped and continued", "SIGSTOP to the application, SIGCONT a moment later, several times", weight=4)
async def stop_and_continue(world: World, rng: random.Random) -> int:
    times = rng.randrange(1, 5)
    async with world.preview() as held:
        for _ in range(times):
            pids = app_of(held)
            for pid in pids:
                machine.send(pid, signal.SIGSTOP)
            await trio.sleep(rng.random() * 0.15)
            for pid in pids:
                machine.send(pid, signal.SIGCONT)
        if await world.act(held, "") != 200:
            raise Broken(f"{held.preview_id} does not answer any more after SIGCONT")
    return times


@kind("stop while suspended", "SIGSTOP to the application, then a stop: it cannot take SIGTERM")
async def stop_while_stopped(world: World, rng: random.Random) -> int:
    async with world.preview() as held:
        for pid in held.pids() if rng.random() < 0.5 else app_of(held):
            machine.send(pid, signal.SIGSTOP)
        with trio.fail_after(8):
            await world.stop(held.generation_id)
    return 1


@kind("SIGTERM ignored", "A stop of an application that ignores SIGTERM")
async def deaf(world: World, rng: random.Random) -> int:
    async with world.preview(env={"DEAF": "1"}) as held:
        await trio.sleep(rng.random() * 0.05)
        with trio.fail_after(8):
            await world.stop(held.generation_id)
    return 1


@kind(
    "descendants killed", "SIGKILL to children and to daemons (forked twice) of the application, one by one", weight=3
)
async def kill_grandchildren(world: World, rng: random.Random) -> int:
    count = 0
    async with world.preview() as held:
        for _ in range(rng.randrange(1, 3)):
            await world.act(held, "spawn")
        for pid in held.pids():
            if machine.name_of(pid).startswith("sleep") and rng.random() < 0.7:
                count += machine.send(pid, rng.choice(DEADLY))
        if await world.act(held, "") != 200:
            raise Broken(f"{held.preview_id} fell with its descendants")
    return max(1, count)


@kind("daemons left behind", "Daemons (forked twice, own session) run when the preview is stopped or killed", weight=3)
async def leave_daemons(world: World, rng: random.Random) -> int:
    async with world.preview() as held:
        for _ in range(rng.randrange(1, 4)):
            await world.act(held, "spawn")
        if rng.random() < 0.5:
            for pid in app_of(held):
                machine.send(pid, rng.choice(DEADLY))
            await world.wait_over(held)
    return 1


@kind("out of memory", "The application takes more memory than it may have")
async def eat_memory(world: World, rng: random.Random) -> int:
    async with world.preview() as held:
        await world.act(held, f"eat/{rng.randrange(140, 220)}")
        await _expect_failed(world, held, "memory")
    return 1


@kind("flood", "A burst of output, and the application killed in the middle of it", weight=2)
async def flood(world: World, rng: random.Random) -> int:
    async with world.preview() as held, trio.open_nursery() as nursery:
        nursery.start_soon(world.act, held, f"say/{rng.randrange(4_000, 16_000)}")
        await trio.sleep(rng.random() * 0.2)
        for pid in app_of(held):
            machine.send(pid, signal.SIGKILL)
        await _expect_failed(world, held)
    return 1
