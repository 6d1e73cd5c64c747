"""Faults of the service itself: killed, ended, stopped, its clock set, a rival on its folder, its installer killed."""

from __future__ import annotations

import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import fault_machine as machine
import trio
from fault_client import Unanswered
from fault_kinds import kind
from fault_ledger import Broken, Reading
from fault_project import files
from fault_world import Held, World

__all__ = ["doomed", "under_load"]

_DAY_S = 24 * 3600
_BUILT_S = 15
_MORE_LAUNCHES = 8


async def under_load(world: World, rng: random.Random, during: Callable[[list[Held]], Awaitable[None]]) -> None:
    """Run ``during`` beside some previews with subscribers, which must all live through it.

    Cancellation: they are left as they are.
    """
    count = rng.randrange(2, 5)
    ready, over = [trio.Event() for _ in range(count)], trio.Event()
    held: list[Held] = []

    async def one(event: trio.Event) -> None:
        async with world.preview() as preview:
            held.append(preview)
            event.set()
            await over.wait()
            await _expect_running(world, preview)

    async with trio.open_nursery() as nursery:
        for event in ready:
            nursery.start_soon(one, event)
        for event in ready:
            await event.wait()
        try:
            await during(held)
        finally:
            over.set()


async def _expect_running(world: World, held: Held) -> None:
    with trio.fail_after(60):
        while True:
            with suppress(Unanswered):
                answer = await world.client.ask("GET", f"/api/v1/previews/{held.preview_id}")
                if answer.status == 200:
                    break
            await trio.sleep(0.05)
    if answer.body["status"] != "running":
        raise Broken(f"{held.preview_id} did not live through a fault of the service: {answer}")


async def doomed(world: World, rng: random.Random, end: Callable[[], Awaitable[None]]) -> None:
    """Previews with subscribers, and launches and stops under way, when ``end`` ends the service.

    What the subscribers were told is held against the log once the service is back.

    Cancellation: likewise.
    """
    held: list[Held] = []
    running = rng.randrange(1, 5)
    done = [trio.Event() for _ in range(running)]

    async def one(event: trio.Event, env: dict[str, str] | None) -> None:
        generation_id = await world.generation()
        try:
            answer = await world.ask_launch(generation_id, env=env, wait_s=rng.choice([0, 20]))
        finally:
            event.set()
        if answer.status == 201:
            preview = Held(
                generation_id, answer.body["id"], answer.body["port"], Reading(world.ledger, answer.body["id"])
            )
            held.append(preview)
            if rng.random() < 0.5:
                nursery.start_soon(world.act, preview, rng.choice(["spawn", "say/3000", "say/20000"]))
            await world.client.follow_to_end(generation_id, preview.reading)

    async def quietly(event: trio.Event, env: dict[str, str] | None) -> None:
        with suppress(Unanswered):
            await one(event, env)

    async def stop_soon(preview: Held) -> None:
        with suppress(Unanswered):
            await world.stop(preview.generation_id)

    async with trio.open_nursery() as nursery:
        for event in done:
            nursery.start_soon(quietly, event, {"DEAF": "1"} if rng.random() < 0.2 else None)
        for event in done:
            await event.wait()
        await trio.sleep(rng.random() * 0.5)
        # At the moment of the end some are being launched, and some stopped.
        for _ in range(rng.randrange(3)):
            nursery.start_soon(quietly, trio.Event(), None)
        if held and rng.random() < 0.3:
            nursery.start_soon(stop_soon, rng.choice(held))
        await trio.sleep(rng.random() * 0.06)
        await end()
        nursery.cancel_scope.cancel()
    world.unverified.extend(held)


@kind("service killed", "SIGKILL to the service while it launches, streams and stops; then started again",
      weight=4, alone=True)  # fmt: skip
async def kill_service(world: World, rng: random.Random) -> int:
    await doomed(world, rng, world.service.kill)
    await world.restart()
    return 1


@kind("service killed as it starts", "SIGKILL to the service at any moment of its start, after one like the above",
      alone=True)  # fmt: skip
async def kill_starting_service(world: World, rng: random.Random) -> int:
    await doomed(world, rng, world.service.kill)
    times = rng.randrange(1, 3)
    for _ in range(times):
        with trio.move_on_after(rng.random() * 1.5):
            await world.service.start()
        await world.service.kill()
    await world.restart()
    return times + 1


@kind("service told to end", "SIGTERM to the service at any moment, sometimes twice; then started again",
      weight=3, alone=True)  # fmt: skip
async def end_service(world: World, rng: random.Random) -> int:
    twice = rng.random() * 0.3 if rng.random() < 0.3 else None
    codes: list[int] = []

    async def end() -> None:
        codes.append(await world.service.end(twice_after_s=twice))

    await doomed(world, rng, end)
    if codes[0] not in ((0,) if twice is None else (0, 130, -signal.SIGTERM)):
        raise Broken(f"SIGTERM ended it with {codes[0]}: {world.service.last_words()}")
    left = [(pid, machine.name_of(pid)) for pid in machine.marked(world.previews)]
    folders = list((world.service.data / "previews").glob("*"))
    if left or folders:
        raise Broken(f"left after SIGTERM: {left} {folders}")
    await world.restart()
    return 1


@kind("service stopped and continued", "SIGSTOP to the service, SIGCONT a moment later", weight=2, alone=True)
async def stop_service(world: World, rng: random.Random) -> int:
    async def during(held: list[Held]) -> None:
        for _ in range(3):
            world.service.signal(signal.SIGSTOP)
            await trio.sleep(rng.random() * 0.3)
            world.service.signal(signal.SIGCONT)
            await trio.sleep(rng.random() * 0.05)

    await under_load(world, rng, during)
    return 3


@kind("clock set", "The wall clock jumps by up to a day, back and forth, while previews run", weight=3, alone=True)
async def set_clock(world: World, rng: random.Random) -> int:
    times = rng.randrange(2, 6)

    async def during(held: list[Held]) -> None:
        try:
            for _ in range(times):
                world.service.set_clock(rng.choice([1, 60, 3600, _DAY_S]) * rng.uniform(-1, 1))
                await _works(world, held)
        finally:
            world.service.set_clock(0)

    await under_load(world, rng, during)
    return times


async def _works(world: World, held: list[Held]) -> None:
    """What must be so whatever the clock says: the preview lives and answers, new ones can be had, ids are new."""
    for preview in held:
        answer = await world.client.ask("POST", world.path(preview.generation_id, "/token"))
        if answer.status != 201:
            raise Broken(f"no token after the clock was set: {answer}")
        token = {"X-Preview-Token": answer.body["session_token"]}
        asked = {"method": "GET", "path": "/health"}
        answer = await world.client.ask("POST", world.path(preview.generation_id, "/request"), asked, token)
        if answer.status != 200:
            raise Broken(f"a fresh token does not hold after the clock was set: {answer}")
    async with world.preview():
        pass


@kind("second service on the folder", "Another service is started on the same data folder", alone=True)
async def second_service(world: World, rng: random.Random) -> int:
    async def during(held: list[Held]) -> None:
        done = await trio.run_process(
            world.service.command("serve", "--json", "--bind", "127.0.0.1:0"),
            env=world.service.environment(), capture_stdout=True, capture_stderr=True, check=False,
        )  # fmt: skip
        said = done.stderr.decode()
        if done.returncode == 0 or "in use" not in said or said.count("\n") != 1:
            raise Broken(f"a second service on the folder: {done.returncode} {said}")

    await under_load(world, rng, during)
    return 1


def _half_built(world: World) -> set[Path]:
    return set((world.service.cache / "environments").glob(".building*"))


def _installers(pid: int) -> list[int]:
    return [one for one in machine.below(pid) if "/uv " in machine.name_of(one)]


@kind("installer killed", "SIGKILL to uv in the middle of building an environment", weight=2)
async def kill_installer(world: World, rng: random.Random) -> int:
    generation_id = await world.keep(files(f"six>=1.{rng.randrange(0, 17)}.0,<{rng.randrange(2, 10_000)}\n"))
    killed = 0
    nap_s = rng.random() * 0.1

    async def hunt() -> None:
        nonlocal killed
        while not (found := _installers(world.service.pid)):  # noqa: ASYNC110  nothing tells of it
            await trio.sleep(0.001)
        await trio.sleep(nap_s)
        killed += sum(machine.send(pid, signal.SIGKILL) for pid in found)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hunt)
        answer = await world.ask_launch(generation_id)
        nursery.cancel_scope.cancel()
    if answer.status not in (201, 500) or (answer.status == 500 and answer.code != "environment_failed"):
        raise Broken(f"a launch whose installer was killed was answered {answer}")
    again = answer
    for _ in range(_MORE_LAUNCHES):
        # Another scenario beside this one may kill this one's next installer too.
        if again.status == 201:
            break
        again = await world.ask_launch(generation_id)
    if again.status != 201:
        raise Broken(f"an installer that was killed has left an environment that cannot be built: {again}")
    await world.stop(generation_id)
    await world.verify(
        Held(generation_id, again.body["id"], again.body["port"], Reading(world.ledger, again.body["id"]))
    )
    # Others may be building now: what is there for long is left.
    half = _half_built(world)
    with trio.move_on_after(_BUILT_S):
        while half := half & _half_built(world):  # noqa: ASYNC110  nothing tells of it
            await trio.sleep(0.05)
    if half:
        raise Broken(f"half-built environments are left: {half}")
    return 1
