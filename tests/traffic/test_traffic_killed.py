"""A request that a reader has seen survives ``kill -9``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from traffic_room import open_traffic_room

from preview.storage.database import open_database

# Shows each request as soon as a reader sees it, while more are recorded, until it is killed.
PROGRAM = """
import sys
from pathlib import Path
import trio
from traffic_room import draft, open_traffic_room
from preview.storage.database import open_database
async def main():
    async with open_database(sys.argv[1]) as database, open_traffic_room(database, Path(sys.argv[2])) as room:
        traffic, seen = await room.open(), 0
        while True:
            for _ in range(20):
                traffic.record(draft())
            await traffic.wait_beyond(seen)
            for one in (await room.store.list("preview_a", after=seen, limit=1000)).items:
                seen = one.number
                print(seen, flush=True)
trio.run(main)
"""


def shown_before_the_kill(url: str, folder: Path) -> list[int]:
    argv = [sys.executable, "-c", PROGRAM, url, str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parent, text=True) as process:
        assert process.stdout is not None
        shown = [int(process.stdout.readline()) for _ in range(150)]
        os.kill(process.pid, signal.SIGKILL)
        return shown + [int(line) for line in process.stdout.read().split("\n")[:-1]]


async def test_what_was_shown_survives_a_kill(sqlite_database_url: str, tmp_path: Path) -> None:
    shown = shown_before_the_kill(sqlite_database_url, tmp_path)
    async with open_database(sqlite_database_url) as database, open_traffic_room(database, tmp_path) as room:
        stored = [one.number for one in (await room.store.list("preview_a", after=0, limit=1000)).items]
    assert shown == [*range(1, len(shown) + 1)]
    assert stored[: len(shown)] == shown
