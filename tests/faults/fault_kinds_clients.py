"""Faults of those who are connected: vanished, stalled, malicious; requests cancelled at any moment."""

from __future__ import annotations

import random
import string
from contextlib import suppress

import trio
from fault_client import Unanswered, open_raw
from fault_kinds import kind
from fault_ledger import Broken, Reading
from fault_world import Held, World

__all__ = ["vanish"]

_READS_S = 0.3


async def vanish(world: World, request: bytes, rng: random.Random, most_s: float = 0.15) -> None:
    """Send a request, or a part of it, and be gone (RST) a moment later. Cancellation: gone at once."""
    async with open_raw(world.service) as stream:
        with suppress(trio.BrokenResourceError), trio.move_on_after(rng.random() * most_s):
            await stream.send_all(request)
            await trio.sleep_forever()


@kind("subscriber vanishes", "A log stream's reader is gone (RST) at any byte, comes back by Last-Event-ID", weight=5)
async def subscriber_vanishes(world: World, rng: random.Random) -> int:
    times = rng.randrange(3, 9)
    async with world.preview() as held:
        reading = Reading(world.ledger, held.preview_id)
        for _ in range(times):
            with trio.move_on_after(rng.random() * 0.1):
                await world.client.follow(held.generation_id, reading, events=rng.randrange(1, 60))
            if rng.random() < 0.3:
                await world.act(held, f"say/{rng.randrange(1, 1500)}")
        await world.stop(held.generation_id)
        with trio.fail_after(60):
            await world.client.follow_to_end(held.generation_id, reading)
    return times


@kind("subscriber stalls", "Readers with a tiny window that take nothing while the preview prints much", weight=2)
async def subscriber_stalls(world: World, rng: random.Random) -> int:
    count = rng.randrange(1, 6)
    async with world.preview() as held, trio.open_nursery() as nursery:
        request = world.client.head("GET", world.client.stream_path(held.generation_id))

        async def stall() -> None:
            async with open_raw(world.service, receive_buffer=1) as stream:
                await stream.send_all(request)
                await trio.sleep_forever()

        for _ in range(count):
            nursery.start_soon(stall)
        await world.act(held, f"say/{rng.randrange(2000, 8000)}")
        await trio.sleep(rng.random() * 0.1)
        nursery.cancel_scope.cancel()
    return count


def _garbage(world: World, generation_id: str, rng: random.Random) -> bytes:
    good = world.client.head("GET", world.client.stream_path(generation_id))
    letters = string.printable.encode()
    match rng.randrange(9):
        case 0:
            return rng.randbytes(rng.randrange(1, 5000))
        case 1:
            return good[: rng.randrange(1, len(good))]
        case 2:
            return good[:-2] + b"X-Long: " + b"a" * rng.randrange(1, 200_000) + b"\r\n\r\n"
        case 3:
            return good[:-2] + b"".join(b"X-%d: y\r\n" % number for number in range(rng.randrange(1, 5000))) + b"\r\n"
        case 4:
            return good.replace(b"HTTP/1.1", rng.choice([b"HTTP/9.9", b"", b"HTTP/1.1 HTTP/1.1", b"\0"]))
        case 5:
            return good[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + rng.choice([b"zz\r\n", b"5\r\nab", b"-1\r\n"])
        case 6:
            return good[:-2] + b"Last-Event-ID: " + bytes(rng.choices(letters, k=40)).replace(b"\n", b"") + b"\r\n\r\n"
        case 7:
            return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(rng.randrange(0, 300))
        case _:
            at = rng.randrange(len(good))
            return good[:at] + rng.randbytes(rng.randrange(1, 8)) + good[at:]


@kind("malicious bytes", "Garbage, half requests, huge heads, broken chunks, HTTP/2 that is none", weight=4)
async def malicious_bytes(world: World, rng: random.Random) -> int:
    times = rng.randrange(4, 12)
    async with world.preview() as held:
        for _ in range(times):
            async with open_raw(world.service) as stream:
                with suppress(trio.BrokenResourceError), trio.move_on_after(rng.random() * 0.03):
                    await stream.send_all(_garbage(world, held.generation_id, rng))
                    while await stream.receive_some():
                        pass
    return times


async def _adopt(world: World, generation_id: str) -> None:
    """Whatever a request that was cancelled has led to: learn of it, end it, and hold it to account."""
    answer = await world.client.ask("GET", world.path(generation_id, "/status"))
    if answer.status == 200:
        world.previews[answer.body["id"]] = generation_id
    await world.stop(generation_id)
    found = await world.client.ask("GET", "/api/v1/previews?limit=100")
    if found.status != 200:
        raise Unanswered(f"the list: {found}")
    for row in found.body["previews"]:
        if row["generation_id"] == generation_id:
            world.previews.setdefault(row["id"], generation_id)
    again = await world.ask_launch(generation_id)
    if again.status != 201:
        raise Broken(f"{generation_id} cannot be launched after a request that was cancelled: {again}")
    await world.stop(generation_id)
    held = Held(generation_id, again.body["id"], again.body["port"], Reading(world.ledger, again.body["id"]))
    await world.verify(held)
    world.free.append(generation_id)


@kind("launch cancelled", "The client of a launch is gone at any moment", weight=4)
async def launch_called_off(world: World, rng: random.Random) -> int:
    generation_id = await world.generation()
    wait = {"Prefer": "wait=20"} if rng.random() < 0.5 else {}
    await vanish(world, world.client.head("POST", world.path(generation_id, "/launch"), b"{}", **wait), rng)
    await _adopt(world, generation_id)
    return 1


@kind("stop cancelled", "The client of a stop is gone at any moment; the preview ends all the same", weight=2)
async def stop_called_off(world: World, rng: random.Random) -> int:
    async with world.preview(env={"DEAF": "1"} if rng.random() < 0.3 else None) as held:
        await vanish(world, world.client.head("DELETE", world.path(held.generation_id)), rng, 0.02)
    return 1


@kind("restart cancelled", "The client of a restart is gone at any moment", weight=2)
async def restart_called_off(world: World, rng: random.Random) -> int:
    generation_id = await world.generation()
    await world.ask_launch(generation_id)
    await vanish(world, world.client.head("POST", world.path(generation_id, "/restart"), b"{}"), rng)
    await _adopt(world, generation_id)
    return 1


@kind("extend and token cancelled", "Clients of an extension, a token and a ticket are gone at any moment", weight=2)
async def small_requests_called_off(world: World, rng: random.Random) -> int:
    async with world.preview() as held:
        path = world.path(held.generation_id)
        for method, rest, body in (
            ("POST", "/extend", b'{"seconds": 5}'), ("POST", "/token", b""), ("POST", "/logs/ticket", b""),
        ):  # fmt: skip
            await vanish(world, world.client.head(method, path + rest, body), rng, 0.02)
    return 3


@kind("proxied request cancelled", "The client of a request to the preview is gone before its answer", weight=2)
async def proxied_called_off(world: World, rng: random.Random) -> int:
    times = rng.randrange(1, 4)
    async with world.preview() as held:
        answer = await world.client.ask("POST", world.path(held.generation_id, "/token"))
        token = {"X-Preview-Token": answer.body["session_token"]}
        body = b'{"method": "GET", "path": "/slow/%d"}' % rng.randrange(1, 400)
        for _ in range(times):
            await vanish(
                world, world.client.head("POST", world.path(held.generation_id, "/request"), body, **token), rng
            )
    return times


@kind("launched several times at once", "Launches of one generation at the same moment: one preview", weight=2)
async def launch_at_once(world: World, rng: random.Random) -> int:
    generation_id, count = await world.generation(), rng.randrange(2, 5)
    answers = []

    async def ask() -> None:
        await trio.sleep(rng.random() * 0.01)
        answers.append(await world.ask_launch(generation_id, wait_s=0))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(ask)
    made = [answer for answer in answers if answer.status == 201]
    if len(made) != 1 or any(answer.status not in (201, 409) for answer in answers):
        raise Broken(f"{count} launches at once were answered {answers}")
    await _adopt(world, generation_id)
    return count


@kind("generation deleted under a launch", "A generation is deleted at any moment of its launch", weight=2)
async def deleted_under_launch(world: World, rng: random.Random) -> int:
    generation_id = await world.keep()

    async def delete() -> None:
        await trio.sleep(rng.random() * 0.03)
        answer = await world.client.ask("DELETE", f"/api/v1/generations/{generation_id}")
        if answer.status not in (204, 409):
            raise Broken(f"the deletion under a launch was answered {answer}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(delete)
        answer = await world.ask_launch(generation_id, wait_s=rng.choice([0, 20]))
        # Stopped with its generation, the preview is no launch any more.
        if answer.status not in (201, 404) and answer.code != "launch_failed":
            raise Broken(f"the launch of a generation that is being deleted was answered {answer}")
    # Deleted, its previews are reached by nobody: they end by themselves, or by this stop.
    answer = await world.client.ask("DELETE", world.path(generation_id))
    if answer.status not in (204, 404):
        raise Broken(f"its preview's stop was answered {answer}")
    return 1
