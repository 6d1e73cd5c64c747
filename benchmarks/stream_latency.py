"""How long does a line take from the child that prints it to a subscriber?

``uv run python benchmarks/stream_latency.py [--seconds S] [--pace-ms MS] [--rounds N] [--save FILE]``

A child prints CLOCK_MONOTONIC every few milliseconds (the clock is one for all processes), and who receives the line
reads the clock again. To an in-process subscriber, and over HTTP (SSE through the real server on loopback; the client
runs in the same process, which only makes it slower). Floor: a trio task that reads the pipe itself.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio
from _measure import Figure, compare, interleave_async, percentile, report, save
from _service import CHILD, LightRuntime, Programs, Server, launch, open_bench, open_server, open_sse

from preview.logs import Batch
from preview.supervisor import LivePreview

PRINT = """
def tick():
    while True:
        sys.stdout.write(f't {{time.monotonic_ns()}}\\n')
        sys.stdout.flush()
        time.sleep({pace_s})
"""
FLOOR, MEMORY, HTTP = "floor: os.pipe in trio", "in-process subscriber", "HTTP stream"


def delay_ms(message: str | bytes) -> float:
    """Since the line was printed."""
    return (time.monotonic_ns() - int(message[2:])) / 1e6


async def through_a_pipe(pace_s: float, seconds: float) -> list[float]:
    program = f"import sys, time\n{PRINT.format(pace_s=pace_s)}\ntick()"
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=writing)
    os.close(writing)
    try:
        async with trio.lowlevel.FdStream(reading) as stream:
            try:
                return await read_pipe(stream, seconds)
            finally:
                # Ahead of the pipe's end, which it would complain about.
                child.kill()
    finally:
        child.wait()


async def read_pipe(stream: trio.lowlevel.FdStream, seconds: float) -> list[float]:
    delays: list[float] = []
    await stream.receive_some()
    rest = b""
    with trio.move_on_after(seconds):
        while True:
            *lines, rest = (rest + await stream.receive_some()).split(b"\n")
            delays.extend(delay_ms(line) for line in lines)
    return delays


async def through_memory(preview: LivePreview, seconds: float) -> list[float]:
    delays: list[float] = []
    with preview.log.subscribe(tail=0) as subscription, trio.move_on_after(seconds):
        while True:
            for event in await subscription.receive():
                if isinstance(event, Batch):
                    delays.extend(delay_ms(message) for message in event.messages if message.startswith("t "))
    return delays


async def through_http(server: Server, preview: LivePreview, seconds: float) -> list[float]:
    delays: list[float] = []
    async with open_sse(server, preview.record.generation_id, f"?last_event_id={preview.log.last_seq}") as messages:
        with trio.move_on_after(seconds):
            async for found in messages:
                delays.extend(delay_ms(message) for message in found if message.startswith(b"t "))
    return delays


async def measure(pace_s: float, seconds: float, rounds: int) -> dict[str, list[Figure]]:
    program = CHILD.format(extra=f"{PRINT.format(pace_s=pace_s)}\nthreading.Thread(target=tick, daemon=True).start()")
    source = Programs()
    source.programs["ticks"] = program
    collected: dict[str, list[float]] = {}
    async with open_bench(source, LightRuntime()) as service, open_server(service) as server:
        preview = await launch(service, "ticks")

        async def measured(name: str) -> Mapping[str, float]:
            if name == FLOOR:
                delays = await through_a_pipe(pace_s, seconds)
            elif name == MEMORY:
                delays = await through_memory(preview, seconds)
            else:
                delays = await through_http(server, preview, seconds)
            collected.setdefault(name, []).extend(delays)
            return {f"{name}, {percent}": percentile(delays, percent) for percent in (50, 99)}

        values = await interleave_async([partial(measured, name) for name in (FLOOR, MEMORY, HTTP)], rounds=rounds)
        await service.previews.stop("ticks")
    tables: dict[str, list[Figure]] = {}
    for percent, word in ((50, "median"), (99, "99th percentile")):
        chosen = {name: values[f"{name}, {percent}"] for name in (FLOOR, MEMORY, HTTP)}
        tables[f"print to subscriber, {word} of a round"] = compare(chosen, floor=FLOOR, unit="ms")
    for title, figures in tables.items():
        report(title, figures)
    print()
    for name, delays in collected.items():
        print(f"  {name}: {len(delays):,} lines in all, slowest {max(delays):.1f} ms")
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--pace-ms", type=float, default=5.0, help="between two lines")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.pace_ms / 1000, options.seconds, options.rounds))


if __name__ == "__main__":
    main()
