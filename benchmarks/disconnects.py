"""How soon does the service know that a reader of a log has gone?

``uv run python benchmarks/disconnects.py [--streams N] [--rounds N] [--save FILE]``

So many streams are open over HTTP, on the direct and on the ordinary path; one of them is closed by its client, and the
time is taken until it is no reader of the log any more. Floor: a trio task that waits for the end of a socket, which
the same client closes.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import trio
import trio.testing
from _measure import Figure, compare, interleave_async, percentile, report, save
from _service import CHILD, LightRuntime, Programs, Server, launch, open_bench, open_server

from preview.supervisor import LivePreview

FLOOR = "floor: the end of a socket"
_PATH = "/api/v1/generations/quiet/preview/logs/stream"
# What is promised of the direct path.
_PROMISED_MS = 1.0


async def bare() -> Mapping[str, float]:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        gone = trio.Event()

        async def wait() -> None:
            await trio.lowlevel.wait_readable(ours)
            gone.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.02)
            began = time.perf_counter()
            theirs.close()
            while not gone.is_set():
                await trio.lowlevel.checkpoint()
            return {FLOOR: (time.perf_counter() - began) * 1000}
    raise AssertionError("unreachable")


async def one_leaves(name: str, server: Server, preview: LivePreview) -> Mapping[str, float]:
    """One more comes, and goes."""
    before = preview.log.broadcast.watchers
    stream = await trio.open_tcp_stream(*server.address)
    await stream.send_all(server.request("GET", _PATH))
    await stream.receive_some()
    await trio.testing.wait_all_tasks_blocked(0.02)
    assert preview.log.broadcast.watchers == before + 1
    began = time.perf_counter()
    stream.socket.close()
    while preview.log.broadcast.watchers > before:
        await trio.lowlevel.checkpoint()
    return {name: (time.perf_counter() - began) * 1000}


async def measure(streams: int, rounds: int) -> list[Figure]:
    async with AsyncExitStack() as stack:
        variants = [bare]
        for name, is_direct in (("direct path", True), ("ordinary path", False)):
            programs = Programs()
            programs.programs["quiet"] = CHILD.format(extra="")
            service = await stack.enter_async_context(
                open_bench(programs, LightRuntime(), direct_streams=is_direct, max_streams_per_user=streams + 10)
            )
            server = await stack.enter_async_context(open_server(service))
            preview = await launch(service, "quiet")
            for _ in range(streams):
                other = await stack.enter_async_context(await trio.open_tcp_stream(*server.address))
                await other.send_all(server.request("GET", _PATH))
                await other.receive_some()
            variants.append(partial(one_leaves, f"{name}, {streams} others open", server, preview))
        values = await interleave_async(variants, rounds=rounds)
        figures = compare(values, floor=FLOOR, unit="ms")
        report("a reader leaves, until that is known", figures)
        for name, found in values.items():
            print(f"  {name}: 99th percentile {percentile(found, 99):.2f} ms")
        worst = next(percentile(found, 99) for name, found in values.items() if name.startswith("direct"))
        word = "holds " if worst <= _PROMISED_MS else "MISSED"
        print(f"  {word}  direct path: {worst:.2f} ms (at most {_PROMISED_MS:g})")
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, {"disconnects": trio.run(measure, options.streams, options.rounds)})


if __name__ == "__main__":
    main()
