"""What a preview's own PostgreSQL costs: the way to it, and making and dropping databases.

    uv run python benchmarks/databases.py [--seconds N] [--rounds N] [--many N] [--launches N] [--previews N]

Both ways lead to the same server in the same run, in turns: straight to its socket, and through the port that a preview
connects to. psycopg and ``pgbench`` measure the round trip (``SELECT 1`` by one client), and ``pgbench`` transactions
per second of its built-in scripts by four clients. ``--many`` databases are then made at once, as previews that connect
at the same moment make them, and dropped.

``--launches N`` launches new code of ``examples/bookshop`` N times on SQLite and on PostgreSQL, in turns, both with
their packages installed, half a second after the last one. ``--previews N`` launches so many at once on PostgreSQL,
stops them, and then looks for what they have left in the server.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio
from _service import USER, launch, open_bench
from launch import EXAMPLES, QUIET_S, read_project, write_project

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.carrier import Carrier
from preview.backing.postgresql import PostgresqlEngine
from preview.core.clock import utc_now
from preview.core.servers import find_postgresql
from preview.generations import Generation
from preview.runtime import open_ladder
from preview.service import Service
from preview.settings import Settings

_TPS = re.compile(r"tps = ([\d.]+)")
_LATENCY = re.compile(r"latency average = ([\d.]+) ms")
# As applications connect: one driver, one connection, a statement and its row. Prints the median in microseconds.
_DRIVER = """
import statistics, sys, time
import psycopg
host, port, name, seconds = sys.argv[1:]
times, end = [], time.monotonic() + float(seconds)
with psycopg.connect(host=host, port=port, user=name, dbname=name, autocommit=True) as connection:
    cursor = connection.cursor()
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        cursor.execute("SELECT 1").fetchone()
        times.append(time.perf_counter_ns() - began)
print(statistics.median(times) / 1000)
"""


def pgbench(host: str, port: int, name: str, *options: str) -> tuple[float, float]:
    """Return transactions per second and the average latency in microseconds."""
    command = ["pgbench", "-h", host, "-p", str(port), "-U", name, "-n", *options, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout
    tps, latency = _TPS.search(said), _LATENCY.search(said)
    if tps is None or latency is None:
        raise SystemExit(f"{said}{done.stderr}")
    return float(tps[1]), float(latency[1]) * 1000


def by_driver(host: str, port: int, name: str, seconds: int) -> float:
    """Return the round trip of ``SELECT 1`` by psycopg, in microseconds."""
    command = [sys.executable, "-c", _DRIVER, host, str(port), name, str(seconds)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


async def compare_ways(engine: PostgresqlEngine, folder: Path, seconds: int, rounds: int) -> None:
    """Print both ways' round trip and throughput, with their ratios."""
    async with engine.open_database("bench", 1) as database, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, database.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        ways = {"direct": (str(folder / "backing/server/socket"), 5432), "preview": ("127.0.0.1", port)}
        query = folder / "one.sql"
        query.write_text("SELECT 1;\n")
        init = ["pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "joe", "-i", "-q", "-s", "5", "shop"]
        await trio.to_thread.run_sync(partial(subprocess.run, init, check=True, capture_output=True))
        name = str(database.name)
        tests = {
            "round trip, us": ("-f", str(query), "-c", "1", "-T", str(seconds)),
            "select, tps": ("-S", "-c", "4", "-T", str(seconds)),
            "tpcb-like, tps": ("-c", "4", "-T", str(seconds)),
        }
        driven: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, address in ways.items():
                driven[way].append(await trio.to_thread.run_sync(partial(by_driver, *address, name, seconds)))
        _print_ways("psycopg, us", driven)
        for test, options in tests.items():
            found: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, address in ways.items():
                    tps, latency = await trio.to_thread.run_sync(partial(pgbench, *address, name, *options))
                    found[way].append(latency if test.endswith("us") else tps)
            _print_ways(test, found)
        nursery.cancel_scope.cancel()


def _print_ways(test: str, found: dict[str, list[float]]) -> None:
    middle = {way: statistics.median(values) for way, values in found.items()}
    print(f"{test:<16} direct {middle['direct']:10.1f}  preview {middle['preview']:10.1f}  "
          f"ratio {middle['preview'] / middle['direct']:.2f}", flush=True)  # fmt: skip


async def make_many(engine: PostgresqlEngine, many: int) -> None:
    """Print how long many databases take that are made at once, and dropped at once."""
    names: list[str] = []

    async def make() -> None:
        names.append(await engine.make())

    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(many):
            nursery.start_soon(make)
    made = time.perf_counter()
    print(f"{many} made at once: {made - started:.2f} s")
    for name in names:
        await engine.drop(name)
    print(f"{many} dropped: {time.perf_counter() - made:.2f} s")


class Bookshops:
    """Generations of the bookshop, ``sqlite-1`` or ``postgresql-2``: each has a line of its own in each file."""

    async def get(self, generation_id: str) -> Generation:
        await trio.lowlevel.checkpoint()
        return Generation(generation_id, generation_id.partition("-")[0], USER.id, utc_now())

    async def write_files(self, generation_id: str, directory: Path) -> None:
        kind, _, number = generation_id.partition("-")
        files = read_project(EXAMPLES / "bookshop", number)
        if kind == "postgresql":
            url = b"postgresql://shop:s3cret@db:5432/shop"
            files = {name: text.replace(b"sqlite:///./bookshop.db", url) for name, text in files.items()}
            files["requirements.txt"] += b"\npsycopg[binary]\n"
        await trio.to_thread.run_sync(write_project, files, directory)


async def compare_launches(service: Service, rounds: int) -> None:
    """Print how long new code takes on each engine."""
    found: dict[str, list[float]] = {"sqlite": [], "postgresql": []}
    # The first ones install packages and make templates.
    for number in range(rounds + 3):
        for kind, times in found.items():
            await trio.sleep(QUIET_S if number > 2 else 3)
            started = time.perf_counter()
            preview = await launch(service, f"{kind}-{number}")
            if number > 2:
                times.append(1000 * (time.perf_counter() - started))
            lines = preview.last_lines(1000)
            assert any("PostgreSQL" in line for line in lines) is (kind == "postgresql"), lines
            await service.previews.stop(f"{kind}-{number}")
    sqlite, postgresql = (statistics.median(times) for times in found.values())
    print(f"launch of new code: SQLite {sqlite:.0f} ms, PostgreSQL {postgresql:.0f} ms, {postgresql - sqlite:+.0f} ms")


async def launch_many(service: Service, many: int) -> None:
    """Print how long so many take at once, and what they have left."""
    names = [f"postgresql-{1000 + number}" for number in range(many)]
    started = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(launch, service, name)
    healthy = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(service.previews.stop, name)
    stopped = time.perf_counter()
    [engine] = [one for one in service.backing.engines if isinstance(one, PostgresqlEngine)]
    left = [name for name in await engine.list_names() if name.startswith("pv_")]
    up_s, down_s = healthy - started, stopped - healthy
    print(f"{many} at once: healthy after {up_s:.1f} s, stopped after {down_s:.1f} s")
    print(f"left: {len(left)} databases, of which {service.settings.databases_ahead} are made in advance")


async def measure_launches(launches: int, previews: int) -> None:
    """Open a service, and launch."""
    async with open_bench(Bookshops(), mysql="off", redis="off", starts_at_once=None) as service:
        if launches:
            await compare_launches(service, launches)
        if previews:
            await launch_many(service, previews)


async def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many", type=int, default=50)
    parser.add_argument("--launches", type=int, default=0)
    parser.add_argument("--previews", type=int, default=0)
    given = parser.parse_args()
    if given.launches or given.previews:
        await measure_launches(given.launches, given.previews)
        return
    program = find_postgresql()
    if program is None:
        raise SystemExit("There is no PostgreSQL here.")
    with tempfile.TemporaryDirectory(prefix="pvbench", dir="/tmp") as name:
        folder = Path(name)
        async with open_ladder(Settings(data_dir=folder)) as ladder:
            carrier, limits = Carrier(), PostgresqlLimits(1024, 50, 60, 2)
            engine = PostgresqlEngine(program, folder / "backing", limits, ladder.runtime, join=carrier.join)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carrier.run)
                nursery.start_soon(engine.run)
                print(f"{engine.version}, load {os.getloadavg()[0]:.1f}")
                started = time.perf_counter()
                first = await engine.make()
                print(f"the first database, with the server's first start: {time.perf_counter() - started:.2f} s")
                await engine.drop(first)
                await trio.sleep(1)
                started = time.perf_counter()
                second = await engine.make()
                print(f"the second, taken from those in advance: {1000 * (time.perf_counter() - started):.1f} ms")
                await engine.drop(second)
                await compare_ways(engine, folder, given.seconds, given.rounds)
                await make_many(engine, given.many)
                nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
