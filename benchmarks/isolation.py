"""What does isolation cost, and how many isolated previews run at once?

``uv run python benchmarks/isolation.py [--rounds N] [--previews N] [--save FILE]``

* *launch*: ``examples/hello`` and ``examples/bookshop`` from the request to the first good answer, sandboxed and in
  control groups, beside the same service with ``PREVIEW_ISOLATION=plain`` (the floor): started from nothing, as the
  floor is, and as the service does by default, forked from a template.
* *many*: so many sandboxed previews of ``examples/hello`` launched at once: until all have answered; what each takes of
  memory (the control group's own count); then the service ends: until every process, port, folder and group is gone.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio
from _measure import Figure, compare, interleave_async, report, save
from _service import USER, Folders, open_bench

from preview.core.lifecycle import StopCause
from preview.generations import Generation
from preview.runtime.kernel import proctree
from preview.service import Service
from preview.supervisor import LaunchRequest

EXAMPLES = Path(__file__).parents[1] / "examples"
PLAIN, SANDBOX, WARM = "floor: plain", "sandbox, control groups", "the same, forked from a template"
# A template is ready a moment after the first launch.
TEMPLATE_S = 4.0
HEALTHY, GONE = "all healthy", "all gone after the shutdown began"


class Copies:
    """One folder under many names."""

    def __init__(self, folder: Path) -> None:
        self._folders = Folders(folder)
        self._name = folder.name

    async def get(self, generation_id: str) -> Generation:
        found = await self._folders.get(self._name)
        return Generation(generation_id, found.project_id, found.user_id, found.created_at)

    async def write_files(self, _generation_id: str, directory: Path) -> None:
        await self._folders.write_files(self._name, directory)


async def launched(name: str, service: Service, example: str) -> Mapping[str, float]:
    start = time.perf_counter()
    answer = await service.previews.launch(LaunchRequest(USER, example))
    await service.previews.wait_ready(answer.record.id, 60)
    elapsed = time.perf_counter() - start
    await service.previews.stop(example)
    return {name: elapsed * 1000}


async def measure_launch(rounds: int) -> dict[str, list[Figure]]:
    tables: dict[str, list[Figure]] = {}
    folders = Folders(EXAMPLES / "hello", EXAMPLES / "bookshop")
    async with (
        open_bench(folders, isolation="plain") as plain,
        open_bench(folders, isolation="require", warm_templates=0) as isolated,
        open_bench(folders, isolation="require") as warm,
    ):
        for example in ("hello", "bookshop"):
            await launched("environment and template", warm, example)
            await trio.sleep(TEMPLATE_S)
            variants = [
                partial(launched, PLAIN, plain, example),
                partial(launched, SANDBOX, isolated, example),
                partial(launched, WARM, warm, example),
            ]
            values = await interleave_async(variants, rounds=rounds, warm_up=1)
            title = f"examples/{example}, launch to healthy"
            tables[title] = compare(values, floor=PLAIN, unit="ms")
            report(title, tables[title])
    return tables


async def many_at_once(previews: int) -> Mapping[str, float]:
    """Launch them all, look at them, and let the service end."""
    before = set(proctree.descendants(os.getpid()))
    names = [f"copy{number}" for number in range(previews)]
    async with open_bench(Copies(EXAMPLES / "hello"), isolation="require", startup_timeout_s=300) as service:
        await launched("environment and template", service, "first")
        await trio.sleep(TEMPLATE_S)
        start = time.perf_counter()
        ids: list[str] = []

        async def start_one(name: str) -> None:
            answer = await service.previews.launch(LaunchRequest(USER, name))
            await service.previews.wait_ready(answer.record.id, 300)
            ids.append(answer.record.id)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(start_one, name)
        healthy_s = time.perf_counter() - start
        live = [found for one in ids if (found := service.previews.find(one)) is not None]
        assert len(live) == previews
        assert all(one.record.runtime == "sandbox" for one in live)
        while not all(one.usage is not None for one in live):
            await trio.sleep(0.1)
        memory = statistics.median(one.usage.memory_bytes for one in live if one.usage is not None)
        held = [(one.socket_address, one.directory) for one in live]
        start = time.perf_counter()
        await service.previews.stop_all(StopCause.SHUTDOWN)
        gone_s = time.perf_counter() - start
    assert set(proctree.descendants(os.getpid())) <= before
    for address, directory in held:
        assert directory is not None
        assert not directory.exists()
        socket.create_server(address).close()
    print(f"median memory of one: {memory / 2**20:.0f} MiB; launches a second: {previews / healthy_s:.1f}")
    return {HEALTHY: healthy_s * 1000, GONE: gone_s * 1000}


async def measure(rounds: int, previews: int) -> dict[str, list[Figure]]:
    tables = await measure_launch(rounds)
    many = await many_at_once(previews)
    title = f"{previews} sandboxed previews at once, {os.cpu_count()} cores"
    tables[title] = compare({name: [value] for name, value in many.items()}, floor=None, unit="ms")
    report(title, tables[title])
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--previews", type=int, default=100)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    save(options.save, trio.run(measure, options.rounds, options.previews))


if __name__ == "__main__":
    main()
