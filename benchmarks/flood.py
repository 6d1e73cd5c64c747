"""What does one preview that prints as fast as it can cost the others?

``uv run python benchmarks/flood.py [--megabytes N] [--rounds N] [--save FILE]``

Beside a preview that prints the time every 10 ms, another prints without end until so much was taken in, and is then
stopped in the midst of it. Measured: the delay of the quiet preview's lines with and without the flood, the service's
memory, how many of the flood's lines had to be dropped on their way to the database, and the time of the stop. Floor:
both outputs through bare pipes in one trio loop, counted and thrown away.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import trio
from _measure import Figure, compare, interleave_async, percentile, report, save
from _service import CHILD, LightRuntime, Programs, launch, open_bench

from preview.logs import Batch
from preview.service import Service
from preview.supervisor import LivePreview

LINE_BYTES = 100
FLOOD = f"""
def flood():
    block = (b'x' * {LINE_BYTES - 1} + b'\\n') * 600
    while True:
        os.write(1, block)
"""
TICK = """
def tick():
    while True:
        os.write(1, b't %d\\n' % time.monotonic_ns())
        time.sleep(0.01)
"""
# A quiet moment beside which the flood's figures mean something.
QUIET_S = 2.0
CHUNK = 64 * 1024
QUIET, FLOODED, FLOOR = "no flood", "beside the flood", "floor: bare pipes, beside the flood"
PERCENTS = {"median": 50.0, "99th percentile": 99.0, "slowest": 100.0}


def delay_ms(message: str | bytes) -> float:
    """Since the line was printed."""
    return (time.monotonic_ns() - int(message[2:])) / 1e6


def as_rows(name: str, delays: list[float]) -> dict[str, float]:
    return {f"{name}, {word}": percentile(delays, percent) for word, percent in PERCENTS.items()}


async def observe(preview: LivePreview, delays: list[float]) -> None:
    """Note the delay of each line."""
    with preview.log.subscribe(tail=0) as subscription:
        while True:
            for event in await subscription.receive():
                if isinstance(event, Batch):
                    delays.extend(delay_ms(message) for message in event.messages if message.startswith("t "))


async def watch_memory(found: list[float]) -> None:
    process = psutil.Process()
    while True:
        found.append(process.memory_info().rss / 2**20)
        await trio.sleep(0.05)


async def beside_previews(service: Service, lines: int) -> Mapping[str, float]:
    """One round in the service."""
    quiet: list[float] = []
    flooded: list[float] = []
    memory: list[float] = []
    ticking = await launch(service, "ticks")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_memory, memory)
        with trio.move_on_after(QUIET_S):
            await observe(ticking, quiet)
        before = memory[-1]
        start = time.perf_counter()
        flooding = await launch(service, "floods")
        nursery.start_soon(observe, ticking, flooded)
        while flooding.log.last_seq < lines:
            await trio.sleep(0.05)
        elapsed = time.perf_counter() - start
        taken, dropped = flooding.log.last_seq, flooding.log.lost_lines
        start = time.perf_counter()
        await service.previews.stop("floods")
        stop_ms = (time.perf_counter() - start) * 1000
        nursery.cancel_scope.cancel()
    await service.previews.stop("ticks")
    return {
        **as_rows(QUIET, quiet),
        **as_rows(FLOODED, flooded),
        "taken in": taken * LINE_BYTES / 2**20 / elapsed,
        "dropped on the way to the database": 100 * dropped / taken,
        "memory before": before,
        "memory at most": max(memory),
        "stop": stop_ms,
    }


@asynccontextmanager
async def open_pipe(program: str) -> AsyncIterator[trio.lowlevel.FdStream]:
    """What a child prints."""
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", f"import os, time\n{program}"], stdout=writing)
    os.close(writing)
    try:
        async with trio.lowlevel.FdStream(reading) as stream:
            yield stream
            child.kill()
    finally:
        child.kill()
        child.wait()


async def beside_pipes(size_bytes: int) -> Mapping[str, float]:
    """One round of the floor."""
    delays: list[float] = []

    async def tick(stream: trio.lowlevel.FdStream) -> None:
        rest = b""
        while True:
            *lines, rest = (rest + await stream.receive_some(CHUNK)).split(b"\n")
            delays.extend(delay_ms(line) for line in lines)

    async with (
        open_pipe(TICK + "tick()") as ticking,
        open_pipe(FLOOD + "flood()") as flooding,
        trio.open_nursery() as nursery,
    ):
        taken = len(await flooding.receive_some(CHUNK))
        nursery.start_soon(tick, ticking)
        start = time.perf_counter()
        while taken < size_bytes:
            taken += len(await flooding.receive_some(CHUNK))
        elapsed = time.perf_counter() - start
        # A pipe this fast is over before much was printed beside it.
        while len(delays) < 50:
            await flooding.receive_some(CHUNK)
        nursery.cancel_scope.cancel()
    return {**as_rows(FLOOR, delays), f"{FLOOR}, taken in": taken / 2**20 / elapsed}


async def measure(megabytes: int, rounds: int) -> dict[str, list[Figure]]:
    source = Programs()
    source.programs["ticks"] = CHILD.format(extra=TICK + "threading.Thread(target=tick, daemon=True).start()")
    source.programs["floods"] = CHILD.format(extra=FLOOD + "threading.Thread(target=flood, daemon=True).start()")
    async with open_bench(source, LightRuntime(), memory_limit_mb=2048) as service:

        async def floor() -> Mapping[str, float]:
            return await beside_pipes(megabytes * 2**20)

        async def own() -> Mapping[str, float]:
            return await beside_previews(service, megabytes * 2**20 // LINE_BYTES)

        # No warm-up: memory counts from a fresh process on.
        values = await interleave_async([floor, own], rounds=rounds, warm_up=0)
    tables: dict[str, list[Figure]] = {}
    for word in PERCENTS:
        chosen = {name: values[f"{name}, {word}"] for name in (FLOOR, QUIET, FLOODED)}
        tables[f"the quiet preview's lines, {word} of a round"] = compare(chosen, floor=FLOOR, unit="ms")
    taken = {FLOOR: values[f"{FLOOR}, taken in"], "service": values["taken in"]}
    tables[f"{megabytes} MiB taken in"] = compare(taken, floor=FLOOR, unit="MiB/s")
    for name, unit in (
        ("dropped on the way to the database", "%"),
        ("memory before", "MiB"),
        ("memory at most", "MiB"),
        ("stop", "ms"),
    ):
        tables[name] = compare({name: values[name]}, floor=None, unit=unit)
    for title, figures in tables.items():
        report(title, figures)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.megabytes, options.rounds))


if __name__ == "__main__":
    main()
