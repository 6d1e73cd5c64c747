"""What does a launch pay for having its files read by a worker process?

``uv run python benchmarks/_worker.py [--rounds N] [--save FILE]``

Two services side by side, of which one reads projects in a thread of its own and the other by workers; launches of code
that neither has seen, in turn. And the memory of the worker server and of its idle workers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import psutil
import trio
from _measure import Figure, compare, interleave_async, report, save
from _service import open_bench
from launch import FIRST_LINE, NEW, TARGETS, Fresh, launched

from preview.service import Service
from preview.worker import InProcess, WorkerReader

IN_THREAD, BY_WORKER = "read in a thread", "read by a worker"
MIB = 1 << 20


async def one(name: str, example: str, service: Service, fresh: Fresh) -> Mapping[str, float]:
    values = await launched(example, service, fresh)
    return {name: values[NEW], f"{name}, first line": values[FIRST_LINE]}


def tell_memory(service: Service) -> None:
    assert isinstance(service.reader, WorkerReader)
    server = psutil.Process(service.reader.server_pid)
    workers = [round(one.memory_full_info().uss / MIB, 1) for one in server.children()]
    print(
        f"memory: worker server {server.memory_full_info().pss / MIB:.1f} MiB (PSS), idle workers {workers} MiB (USS)"
    )


async def measure(rounds: int) -> dict[str, list[Figure]]:
    tables: dict[str, list[Figure]] = {}
    fresh = Fresh()
    async with (
        open_bench(fresh, reader=InProcess()) as plain,
        open_bench(fresh, port_min=26_000, port_max=26_199) as working,
    ):
        for example in TARGETS:
            for _ in range(3):
                for service in (plain, working):
                    await launched(example, service, fresh)
                    await trio.sleep(1)
            values = await interleave_async(
                [
                    partial(one, IN_THREAD, example, plain, fresh),
                    partial(one, BY_WORKER, example, working, fresh),
                ],
                rounds=rounds,
            )
            tables[example] = compare(values, floor=IN_THREAD, unit="ms")
            report(f"examples/{example}, new code, launch to healthy", compare(values, floor=IN_THREAD, unit="ms"))
        tell_memory(working)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.rounds))


if __name__ == "__main__":
    main()
