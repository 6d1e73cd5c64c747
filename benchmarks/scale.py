"""What a cluster costs a launch, and how many more launches three nodes sustain than one.

``uv run python benchmarks/scale.py [--part overhead|scale] [--rounds N] [--seconds S] [--share CORES] [--save FILE]``

Real services on one PostgreSQL, all on this machine; for root, with control groups.

* *overhead*: the same project, launched and stopped in turns by a service alone and by a node of a cluster, each on a
  database of its own; the time of each request to launch, until the preview answers;
* *scale*: one node, then three. Each node has the same share of the processors, its previews included (control group
  with a quota); PostgreSQL and the clients are outside. Two clients a node launch and stop without a pause. Beside the
  launches a second, the processor time of a launch, in the nodes' groups and in PostgreSQL: it can be compared on a
  busy machine too, where nodes do not get their whole share.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psycopg
import trio
from _measure import compare, interleave_async, report, save

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / part) for part in ("", "faults")]

from fault_client import Client  # noqa: E402  found by the line above
from fault_postgres import Postgres, open_postgres  # noqa: E402
from fault_service import Service  # noqa: E402

from preview.storage import migrate  # noqa: E402

ALONE, NODE = "floor: a service alone", "a node of a cluster"
_EXAMPLE = Path(__file__).parents[1] / "examples" / "hello"
_CLIENTS = 2
_PERIOD_US = 100_000
_PORTS = itertools.count(21_000, 60)
_LAUNCH = "/api/v1/generations/{}/preview/launch"
_STOP = "/api/v1/generations/{}/preview"


_ROOT = Path("/sys/fs/cgroup")
_IS_SECOND = (_ROOT / "cgroup.controllers").exists()
_CONTROLLERS = [_ROOT] if _IS_SECOND else [_ROOT / "cpu", _ROOT / "cpuacct"]


class Share:
    """A control group, of one hierarchy or of two (version 1)."""

    def __init__(self, name: str) -> None:
        self.folders = [place / f"preview-scale-{name}" for place in _CONTROLLERS]

    def enter(self, pid: int) -> None:
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    @property
    def prefix(self) -> list[str]:
        """What starts a command in it: put before the command."""
        enter = " && ".join(f"echo $$ > {folder}/cgroup.procs" for folder in self.folders)
        return ["sh", "-c", f'{enter} && exec "$@"', "sh"]

    @property
    def used_s(self) -> float:
        """Processor time of all that was ever in it."""
        if not _IS_SECOND:
            return int((self.folders[1] / "cpuacct.usage").read_text()) / 1e9
        return int((self.folders[0] / "cpu.stat").read_text().split()[1]) / 1e6


def leave() -> None:
    """Put this process back into the root groups."""
    for place in _CONTROLLERS:
        (place / "cgroup.procs").write_text(str(os.getpid()))


@contextmanager
def open_share(name: str, cores: float | None) -> Iterator[Share]:
    """A control group whose processes get so much of the processors together; None: it only counts."""
    share = Share(name)
    for folder in share.folders:
        folder.mkdir()
    if cores is not None and _IS_SECOND:
        (share.folders[0] / "cpu.max").write_text(f"{int(cores * _PERIOD_US)} {_PERIOD_US}")
    elif cores is not None:
        (share.folders[0] / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (share.folders[0] / "cpu.cfs_quota_us").write_text(str(int(cores * _PERIOD_US)))
    try:
        yield share
    finally:
        for folder in share.folders:
            _remove(folder)


def _remove(folder: Path) -> None:
    # Of the service inside, the kernel may take a moment.
    for _ in range(100):
        with suppress(OSError):
            for inner in sorted(folder.glob("**/"), reverse=True):
                inner.rmdir()
            return
        time.sleep(0.05)


def service(folder: Path, cache: Path, url: str, name: str, number: int, *, is_node: bool) -> Service:
    """A service that is not started."""
    variables = {"PREVIEW_DATABASE_URL": url, "PREVIEW_WARM_TEMPLATES": "4", "PREVIEW_SPARES": "2"}
    variables |= {"PREVIEW_LIVENESS_INTERVAL": "10", "PREVIEW_USAGE_INTERVAL": "5", "PREVIEW_MEMORY_LIMIT_MB": "512"}
    if is_node:
        variables |= {
            "PREVIEW_CLUSTER": "true",
            "PREVIEW_CLUSTER_SECRET": "one secret of all nodes of this cluster",
            "PREVIEW_NODE_NAME": name,
            "PREVIEW_NODE_ADDRESS": f"127.0.0.{number + 2}:7{number:03}",
            "PREVIEW_NODE_LEASE_S": "6",
        }
    return Service(folder / name, cache, next(_PORTS), variables, ports=30)


class Launcher:
    """One user of one service, who launches and stops a project of his own."""

    def __init__(self, node: Service, user: str) -> None:
        self.client = Client(node, user)
        self.generation = ""

    async def push(self) -> None:
        """Store the project, and launch it once, so that its packages are installed."""
        files = {path.name: path.read_text() for path in _EXAMPLE.iterdir() if path.is_file()}
        answer = await self.client.ask("POST", "/api/v1/generations", {"files": files})
        if answer.status != 201:
            raise SystemExit(f"not stored: {answer}")
        self.generation = str(answer.body["id"])
        for _ in range(3):
            await self.cycle_ms()

    async def cycle_ms(self) -> float:
        """Launch, and stop; the time until the preview answered."""
        started = time.perf_counter()
        answer = await self.client.ask("POST", _LAUNCH.format(self.generation), {}, {"Prefer": "wait=60"})
        took_ms = 1000 * (time.perf_counter() - started)
        if answer.status != 201:
            raise SystemExit(f"not launched: {answer}")
        answer = await self.client.ask("DELETE", _STOP.format(self.generation))
        if answer.status not in (200, 204):
            raise SystemExit(f"not stopped: {answer}")
        return took_ms


async def measure_overhead(server: Postgres, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Times of launches in milliseconds, in turns."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE alone")
    url = server.url.replace("/postgres", "/alone", 1)
    migrate.upgrade(url)
    cache = folder / "cache"
    services = {
        ALONE: service(folder, cache, url, "alone", 0, is_node=False),
        NODE: service(folder, cache, server.url, "node", 1, is_node=True),
    }
    try:
        launchers = {}
        for name, one in services.items():
            await one.start()
            launchers[name] = Launcher(one, "ann")
            await launchers[name].push()
        variants = [partial(_named, name, launcher) for name, launcher in launchers.items()]
        return await interleave_async(variants, rounds=rounds, warm_up=5)
    finally:
        for one in services.values():
            one.kill_now()


async def _named(name: str, launcher: Launcher) -> Mapping[str, float]:
    await trio.sleep(0.2)
    return {name: await launcher.cycle_ms()}


class Sustained(NamedTuple):
    """Launches a second, and the processor time of one in milliseconds: of the nodes, and of PostgreSQL."""

    per_s: float
    node_ms: float
    database_ms: float


async def sustained(
    server: Postgres, database: Share, folder: Path, count: int, share: float, seconds: float
) -> Sustained:
    """Launches that so many nodes sustain together, each with a share of the processors."""
    nodes: list[Service] = []
    done = 0

    async def work(launcher: Launcher) -> None:
        nonlocal done
        while True:
            await launcher.cycle_ms()
            done += 1

    with open_shares(count, share) as shares:
        try:
            for number, place in enumerate(shares):
                node = service(
                    folder, folder / "cache", server.url, f"n{count}{number}", 10 * count + number, is_node=True
                )
                nodes.append(node)
                place.enter(os.getpid())
                try:
                    await node.start()
                finally:
                    leave()
            launchers = [Launcher(node, f"user-{node.folder.name}-{n}") for node in nodes for n in range(_CLIENTS)]
            async with trio.open_nursery() as nursery:
                for launcher in launchers:
                    nursery.start_soon(launcher.push)
            with trio.move_on_after(2 + seconds):
                async with trio.open_nursery() as nursery:
                    for launcher in launchers:
                        nursery.start_soon(work, launcher)
                    await trio.sleep(2)
                    done, nodes_s, database_s = 0, sum(one.used_s for one in shares), database.used_s
            nodes_s, database_s = sum(one.used_s for one in shares) - nodes_s, database.used_s - database_s
            each = 1000 / max(1, done)
            return Sustained(done / seconds, nodes_s * each, database_s * each)
        finally:
            for node in nodes:
                if node.process is not None:
                    await node.end()
                node.kill_now()


@contextmanager
def open_shares(count: int, cores: float) -> Iterator[Sequence[Share]]:
    """So many equal shares."""
    if not count:
        yield []
        return
    with open_share(f"{os.getpid()}-{count}", cores) as one, open_shares(count - 1, cores) as others:
        yield [one, *others]


async def run(options: argparse.Namespace) -> None:
    """Open the database, and measure."""
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="preview-scale-"))
        database = stack.enter_context(open_share(f"{os.getpid()}-database", None))
        database.enter(os.getpid())
        try:
            server = stack.enter_context(open_postgres())
        finally:
            leave()
        folder = Path(name)
        if options.part != "scale":
            figures = compare(await measure_overhead(server, folder, options.rounds * 4), unit="ms", floor=ALONE)
            report("launch until it answers", figures)
            save(options.save, {"overhead": figures})
        if options.part != "overhead":
            found: dict[int, list[Sustained]] = {1: [], 3: []}
            for _ in range(options.rounds):
                for count, values in found.items():
                    one = await sustained(server, database, folder, count, options.share, options.seconds)
                    values.append(one)
                    print(
                        f"{count} nodes: {one.per_s:.2f} launches/s, each {one.node_ms:.0f} ms of the nodes' "
                        f"processors, {one.database_ms:.0f} ms of PostgreSQL's; load {os.getloadavg()[0]:.0f}",
                        flush=True,
                    )
            pairs = list(zip(found[1], found[3], strict=True))
            ratio = statistics.median(three.per_s / one.per_s for one, three in pairs)
            costs = statistics.median(one.node_ms / three.node_ms for one, three in pairs)
            print(f"three nodes sustain {ratio:.2f} x the launches of one, each with {options.share} processors")
            print(f"by the processor time of a launch: {3 * costs:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["overhead", "scale", "both"], default="both")
    parser.add_argument("--rounds", type=int, default=5, help="measure each so often (5)")
    parser.add_argument("--seconds", type=float, default=15, help="launch for so long (15)")
    parser.add_argument("--share", type=float, default=0.3, help="processors of each node (0.3)")
    parser.add_argument("--save", type=Path, default=None, help="write all rounds there")
    trio.run(run, parser.parse_args())


if __name__ == "__main__":
    main()
