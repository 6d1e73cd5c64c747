"""Ten thousand lines, twenty subscribers who come and go at random, one of them stalled: each line once, in order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
from http_kit import EventStream, World, open_events, open_world

LINES = 10_000
SUBSCRIBERS = 20
# In bursts, so that streams are now live and now behind; small limits below make them replay from the database too.
TALKER = {
    "main.py": f"""
import time
for number in range({LINES}):
    print("said", number)
    if number % 500 == 0:
        time.sleep(0.05)
print("all said", flush=True)
from fastapi import FastAPI
app = FastAPI()
""",
    "requirements.txt": "fastapi\n",
}


class Lines:
    """What one subscriber has read, over all its connections."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.complete = False
        self._rest = b""

    @property
    def last(self) -> str:
        return str(self.numbers[-1] if self.numbers else 0)

    def feed(self, data: bytes) -> None:
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            assert b"event: gap" not in frame, "nothing was lost, so no gap may be told"
            if frame.startswith(b"id: "):
                self.numbers.append(int(frame[4 : frame.index(b"\n")]))
                self.complete = self.complete or b'"all said"' in frame

    def disconnected(self) -> None:
        self._rest = b""


async def read_some(stream: EventStream, lines: Lines, at_least: int) -> None:
    """Read until so many more lines have come, or all."""
    goal = len(lines.numbers) + at_least
    while len(lines.numbers) < goal and not lines.complete:
        event = await stream._next()
        assert isinstance(event, h11.Data), event
        lines.feed(bytes(event.data))


async def come_and_go(world: World, generation_id: str, lines: Lines, chance: random.Random) -> None:
    while not lines.complete:
        lines.disconnected()
        async with open_events(world, generation_id, Last_Event_ID=lines.last) as stream:
            assert stream.status == 200
            await read_some(stream, lines, chance.choice([1, 10, 100, 1000, LINES]))


async def stall_then_read(world: World, generation_id: str, lines: Lines, go_on: trio.Event) -> None:
    async with open_events(world, generation_id) as stream:
        await go_on.wait()
        await read_some(stream, lines, LINES + 100)


@pytest.mark.parametrize(
    ("seed", "direct"),
    [
        (1, True),
        pytest.param(2, True, marks=pytest.mark.long),
        pytest.param(3, True, marks=pytest.mark.long),
        (1, False),
    ],
)
async def test_every_subscriber_reads_each_line_once_and_in_order(tmp_path: Path, seed: int, direct: bool) -> None:
    readers = [Lines() for _ in range(SUBSCRIBERS)]
    bounds: dict[str, Any] = {"subscriber_batches": 4, "max_log_lines": 500, "backlog_bytes": 64 * 1024}
    async with open_world(tmp_path, max_streams_per_user=200, direct_streams=direct, **bounds) as world:
        generation_id = await world.keep(TALKER)
        await world.launch(generation_id, wait_s=None)
        go_on = trio.Event()
        async with trio.open_nursery() as stalled:
            stalled.start_soon(stall_then_read, world, generation_id, readers[0], go_on)
            async with trio.open_nursery() as nursery:
                for number, lines in enumerate(readers[1:]):
                    nursery.start_soon(come_and_go, world, generation_id, lines, random.Random(seed * 1000 + number))
            by_path = await world.streams_by_path()
            # The one that stalls, and perhaps some that have just left.
            assert by_path["direct" if direct else "ordinary"] >= 1
            assert by_path["ordinary" if direct else "direct"] == 0
            go_on.set()
        last = world.service.previews.require(generation_id).log.last_seq
    for lines in readers:
        assert lines.numbers == list(range(1, len(lines.numbers) + 1))
        assert LINES < len(lines.numbers) <= last
