"""One random run, read in every way there is: the same lines under the same numbers."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
from http_kit import NEVER_READY, World, open_events, open_world
from http_socket_kit import open_log_socket

from preview.logs import Level, PreviewLog

SEED = 20_261_121
LAST = "that was all"
WORDS = ["plain", "ü\u2028ber", "\x1b[31mred\x1b[0m", "\U0001f600", '"quoted\\', "<b>", "", "日本語", "tab\there"]

Line = tuple[int, str, str, str]
Reader = Callable[[World, str, random.Random], Awaitable[list[Line]]]


def line_of(seq: int, data: dict[str, Any]) -> Line:
    return seq, data["timestamp"], data["level"], data["message"]


async def talk(log: PreviewLog, chance: random.Random) -> None:
    """Bursts and pauses, short lines and long ones."""
    for _ in range(60):
        for _ in range(chance.choice([1, 2, 40])):
            words = " ".join(chance.choices(WORDS, k=chance.randint(0, 6)))
            log.say(words + "x" * chance.choice([0, 0, 0, 5000]), chance.choice(list(Level)))
        await trio.sleep(chance.choice([0, 0, 0.002]))
    log.say(LAST)


async def by_events(world: World, generation: str, chance: random.Random) -> list[Line]:
    """Server-Sent Events, left now and then, read slowly at times, and gone on with."""
    found: list[Line] = []
    while True:
        resume = {"Last_Event_ID": str(found[-1][0])} if found else {}
        async with open_events(world, generation, **resume) as stream:
            for _ in range(chance.randint(50, 400)):
                event = await stream.event()
                assert event is not None
                if event.kind != "message":
                    continue
                found.append(line_of(int(event.id or 0), event.data))
                if event.data["message"] == LAST:
                    return found
                if chance.random() < 0.01:
                    await trio.sleep(0.02)


async def by_socket(world: World, generation: str, chance: random.Random) -> list[Line]:
    """A WebSocket, left now and then and gone on with."""
    found: list[Line] = []
    while True:
        async with open_log_socket(world, generation, f"?after={found[-1][0]}" if found else "") as client:
            for _ in range(chance.randint(50, 400)):
                event = await client.of_type("line", "gap")
                assert event["type"] == "line"
                found.append(line_of(event["seq"], event))
                if event["message"] == LAST:
                    return found


async def by_ndjson(world: World, generation: str, chance: random.Random) -> list[Line]:
    """One object a line, left now and then and gone on with."""
    found: list[Line] = []
    while True:
        query = f"?after={found[-1][0]}" if found else ""
        async with open_events(world, generation, query=query, Accept="application/x-ndjson") as stream:
            assert stream.headers["content-type"] == "application/x-ndjson"
            rest, left = b"", chance.randint(5, 40)
            while left:
                piece = await stream._next()
                assert isinstance(piece, h11.Data)
                *whole, rest = (rest + piece.data).split(b"\n")
                for event in map(json.loads, whole):
                    if event["type"] == "line":
                        found.append(line_of(event["seq"], event))
                        if event["message"] == LAST:
                            return found
                left -= 1


async def by_pages(world: World, generation: str, chance: random.Random) -> list[Line]:
    """Pages of history, while it runs."""
    found: list[Line] = []
    path = f"/api/v1/generations/{generation}/preview/logs?limit={chance.randint(20, 300)}"
    while True:
        page = (await world.ask("GET", path)).json()
        assert page["gaps"] == []
        for line in page["lines"]:
            found.append(line_of(line["seq"], line))
            if line["message"] == LAST:
                return found
        path = page["next"]


async def streams_take_the_path(world: World, generation: str, *, direct: bool) -> None:
    """Both kinds of HTTP stream go the way that is meant, or this would compare one way with itself."""
    async with open_events(world, generation), open_events(world, generation, Accept="application/x-ndjson"):
        assert await world.streams_by_path() == {"direct": 2 * direct, "ordinary": 2 * (not direct)}


READERS: list[Reader] = [by_events, by_events, by_socket, by_ndjson, by_pages]


@pytest.mark.parametrize("direct", [False, True], ids=["ordinary", "direct"])
async def test_every_way_to_read_a_log_gives_the_same_lines_under_the_same_numbers(
    tmp_path: Path, direct: bool
) -> None:
    async with open_world(tmp_path, direct_streams=direct, max_log_lines=200, startup_timeout_s=300) as world:
        generation = await world.keep(NEVER_READY)
        launched = await world.launch(generation, wait_s=None)
        preview = world.service.previews.find(launched["id"])
        assert preview is not None
        await streams_take_the_path(world, generation, direct=direct)
        got: list[list[Line]] = [[] for _ in READERS]

        async def read(index: int, reader: Reader) -> None:
            got[index] = await reader(world, generation, random.Random(SEED + index))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for index, reader in enumerate(READERS):
                    nursery.start_soon(read, index, reader)
                await talk(preview.log, random.Random(SEED))
        afterwards = await by_pages(world, generation, random.Random(SEED))
        assert [line[0] for line in afterwards] == list(range(1, len(afterwards) + 1))
        for lines in got:
            assert lines == afterwards
