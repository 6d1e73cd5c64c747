"""How long a preview's data takes to be saved and brought back.

    uv run python benchmarks/data.py [--rounds N] [--megabytes N …] [--kinds KIND …]

One preview with PostgreSQL, one with MySQL and one with SQLite hold a table of so many megabytes. Each round saves the
data, and restores it under the running preview. A restore first saves the old data, and ends when the application
serves again; ``data`` is the part in which the data itself is replaced. The processor's time is that of the service and
all its children, servers too: on a busy machine it says more than the other times.

MySQL is measured in two ways in turns: with copies of its tables' files, and by dumps alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
import trio
from _service import USER, launch, open_bench

from preview.core.clock import utc_now
from preview.data import Part, PreviewData
from preview.generations import Generation
from preview.service import Service
from preview.supervisor import LivePreview

_ROW_BYTES = 250
_POSTGRESQL = """
import psycopg
from fastapi import FastAPI
app = FastAPI()
def run(query):
    with psycopg.connect("postgresql://shop:s3cret@db:5432/shop") as connection:
        connection.execute(query)
@app.get("/fill")
def fill(rows: int):
    run("create table t (id int primary key, text text)")
    run(f"insert into t select i, rpad(md5(i::text), 220, 'x') from generate_series(1, {rows}) i")
"""
_MYSQL = """
import pymysql
from fastapi import FastAPI
app = FastAPI()
@app.get("/fill")
def fill(rows: int):
    with pymysql.connect(host="mysql", user="root", password="secret", database="shop", autocommit=True) as base:
        cursor = base.cursor()
        cursor.execute("create table t (id int primary key, text varchar(250))")
        cursor.execute(f"insert into t select seq, rpad(md5(seq), 240, 'x') from seq_1_to_{rows}")
"""
_SQLITE = """
import sqlite3
from fastapi import FastAPI
app = FastAPI()
@app.get("/fill")
def fill(rows: int):
    with sqlite3.connect("shop.db") as base:
        base.execute("create table t (id integer primary key, text text)")
        base.executemany("insert into t values (?, ?)", ((i, f"{i:x<240}") for i in range(rows)))
"""
_PROGRAMS = {
    "PostgreSQL": (_POSTGRESQL, "fastapi\nuvicorn\npsycopg[binary]\n"),
    "MySQL": (_MYSQL, "fastapi\nuvicorn\npymysql\n"),
    "SQLite": (_SQLITE, "fastapi\nuvicorn\n"),
}


class Programs:
    """Generations with the name of their database and the size of its table."""

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, generation_id, USER.id, utc_now())

    async def write_files(self, generation_id: str, directory: Path) -> None:
        program, requirements = _PROGRAMS[generation_id.partition("-")[0]]
        await trio.Path(directory / "main.py").write_text(program)
        await trio.Path(directory / "requirements.txt").write_text(requirements)


@dataclass
class Measured:
    """Seconds of each round: saves, restores, the data alone, and the processor's for a save and a restore."""

    saved: list[float] = field(default_factory=list)
    restored: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    spent: list[tuple[float, float]] = field(default_factory=list)

    def show(self, what: str, megabytes: int, size: float) -> None:
        """Print medians, and means of the processor's time."""
        save, restore, data = (1000 * statistics.median(times) for times in (self.saved, self.restored, self.loaded))
        save_cpu, restore_cpu = (1000 * statistics.mean(times) for times in zip(*self.spent, strict=True))
        print(f"{what:13} {megabytes:3} MB: saved in {save:5.0f} ms ({size:.1f} MB), "
              f"restored in {restore:5.0f} ms (least {1000 * min(self.restored):.0f}, data {data:.0f} ms); "
              f"processor {save_cpu:.0f} and {restore_cpu:.0f} ms")  # fmt: skip


def processor_s() -> float:
    """Return the processor's time of this process and all below it, with those that they have waited for."""
    spent = 0.0
    for one in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            spent += sum(one.cpu_times()[:4])
    return spent


async def fill(preview: LivePreview, megabytes: int) -> None:
    """Let the application make its table."""
    host, port = preview.socket_address
    async with httpx2.AsyncClient(timeout=120) as client:
        answer = await client.get(f"http://{host}:{port}/fill?rows={megabytes * 1024 * 1024 // _ROW_BYTES}")
        answer.raise_for_status()


async def measure(service: Service, kind: str, megabytes: int, rounds: int) -> None:
    """Print the medians of so many rounds."""
    name = f"{kind}-{megabytes}"
    await fill(await launch(service, name), megabytes)
    generation = await service.generations.get(name)
    ways = {way: Measured() for way in (("copies", "dumps") if kind == "MySQL" else ("",))}
    load, save = PreviewData.load, PreviewData.save
    loaded: list[float] = []

    async def timed_load(self: PreviewData, folder: Path | None, parts: Sequence[Part] = ()) -> None:
        started = time.perf_counter()
        await load(self, folder, parts)
        loaded.append(time.perf_counter() - started)

    async def dump(self: PreviewData, folder: Path, *, with_copies: bool = False) -> tuple[Part, ...]:
        return await save(self, folder)

    PreviewData.load = timed_load  # type: ignore[method-assign]
    for number in range(rounds * len(ways)):
        way = list(ways)[number % len(ways)]
        found = ways[way]
        PreviewData.save = dump if way == "dumps" else save  # type: ignore[method-assign]
        before_s, started = processor_s(), time.perf_counter()
        snapshot = await service.data.save(generation, "")
        found.saved.append(time.perf_counter() - started)
        between_s, started = processor_s(), time.perf_counter()
        await service.data.restore(USER, generation, snapshot.id)
        found.restored.append(time.perf_counter() - started)
        found.loaded.append(loaded[-1])
        found.spent.append((between_s - before_s, processor_s() - between_s))
        await service.data.delete(generation, snapshot.id)
    PreviewData.load, PreviewData.save = load, save  # type: ignore[method-assign]
    await service.previews.stop(name)
    for way, found in ways.items():
        found.show(f"{kind} {way}".strip(), megabytes, snapshot.size_bytes / 1024**2)


async def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 50])
    parser.add_argument("--kinds", nargs="+", choices=_PROGRAMS, default=list(_PROGRAMS))
    given = parser.parse_args()
    async with open_bench(Programs(), redis="off", launches_per_minute=10_000) as service:
        print(f"load {os.getloadavg()[0]:.1f}")
        for kind in given.kinds:
            for megabytes in given.megabytes:
                await measure(service, kind, megabytes, given.rounds)


if __name__ == "__main__":
    trio.run(main)
