"""From how many nodes on does it pay that a log goes over Redis?

``uv run python benchmarks/log_bus.py [--rounds N] [--lines L] [--nodes 1 2 3 4 6] [--save FILE]``

Processor time of the node that has the log, for each line. Other nodes read it in a second process: each has a stream
of its own, or all read Redis and get only positions. Redis' own time is not counted, nor that of the readers. Lines
come one by one, and 20 at once. Needs ``redis-server``.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from _measure import compare, interleave_async, report, save

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / part) for part in ("", "http")]

from nodes_kit import SECRET, Owning, open_owner  # noqa: E402  found by the line above
from redis_kit import open_redis_server  # noqa: E402
from sqlalchemy import insert  # noqa: E402

from preview.cluster.credentials import NodeKey  # noqa: E402
from preview.cluster.links import NodeLink  # noqa: E402
from preview.http.streams.node_log import PREFIX, READS_BUS, TAKES_BUS  # noqa: E402
from preview.logs.bus import LogBus, publisher  # noqa: E402
from preview.logs.model.wire import FrameReader, Position  # noqa: E402
from preview.proxy.exchange import open_exchange  # noqa: E402
from preview.proxy.http1 import Field, request_head  # noqa: E402
from preview.proxy.passing_on import OWN_REQUEST  # noqa: E402
from preview.proxy.pool import Pool, open_pool  # noqa: E402
from preview.runtime import InnerAddress  # noqa: E402
from preview.storage.tables import preview_instances  # noqa: E402

_PATIENCE_S = 60
_ROW = {
    "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running", "health_status": "unknown",
    "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0, "log_level": "ERROR",
}  # fmt: skip
# Lines at once, and the pause after them.
_KINDS = {"one by one": (1, 0.005), "20 at once": (20, 0.02)}


async def read_as_nodes(host: str, port: int, preview_id: str, nodes: int, *, over_bus: bool) -> None:
    """Read a log as so many nodes do, in this process; ends with it."""
    address = InnerAddress(host, port, NodeLink("b", (host, port), NodeKey(SECRET)))

    async def stream(pool: Pool, after: int, *wish: Field, until_position: bool) -> None:
        reader, target = FrameReader(preview_id), f"{PREFIX}/{preview_id}?after={after}".encode()
        async with open_exchange(pool, address, 0, "GET") as exchange:
            await exchange.start(request_head("GET", target, [(b"host", b"node"), OWN_REQUEST, *wish], None))
            await exchange.drain()
            if (await exchange.read_head()).status != 200:
                raise RuntimeError("no stream of the log")
            while (piece := await exchange.read_piece()) is not None:
                if until_position and any(isinstance(event, Position) for event in reader.feed(piece)):
                    return

    async def read(pool: Pool) -> None:
        if over_bus:
            await stream(pool, 0, TAKES_BUS, until_position=True)
            # All that is newer is on the bus.
            await stream(pool, 99999999, READS_BUS, until_position=False)
        else:
            await stream(pool, 0, until_position=False)

    async with open_pool() as pool, trio.open_nursery() as nursery:
        for _ in range(nodes):
            nursery.start_soon(read, pool)


class Measured:
    """A log on a node that has a bus."""

    def __init__(self, owning: Owning, bus: LogBus) -> None:
        self._owning = owning
        self._bus = bus
        self._log = owning.owner.preview.log

    def _is_read(self, nodes: int, over_bus: bool) -> bool:
        # With the bus, Redis gets the lines as one more reader.
        watched = self._log.broadcast.watchers == nodes + over_bus
        return watched and (
            not over_bus or any(one.begun_after is not None for one in self._bus._publications.values())
        )

    @asynccontextmanager
    async def _read_by(self, nodes: int, over_bus: bool) -> AsyncIterator[None]:
        host, port = self._owning.internal
        words = [
            sys.executable,
            __file__,
            "--read",
            host,
            str(port),
            self._log.preview_id,
            str(nodes),
            str(int(over_bus)),
        ]
        process = subprocess.Popen(words)
        try:
            with trio.fail_after(_PATIENCE_S):
                while not self._is_read(nodes, over_bus):
                    self._log.say("warm")
                    await trio.sleep(0.1)
            await trio.sleep(1)
            if not self._is_read(nodes, over_bus):
                raise RuntimeError("a reader has left")
            yield
        finally:
            process.kill()
            process.wait()
            with trio.fail_after(_PATIENCE_S):
                while self._bus._publications or self._log.broadcast.watchers:
                    await trio.sleep(0.1)

    async def line_us(self, nodes: int, kind: str, lines: int, *, over_bus: bool) -> float:
        """Processor time of this process for each line."""
        at_once, pause_s = _KINDS[kind]
        async with self._read_by(nodes, over_bus):
            before_lines, before_s = self._bus.lines, time.process_time()
            for _ in range(lines // at_once):
                for _ in range(at_once):
                    self._log.say("x" * 80)
                await trio.sleep(pause_s)
            await trio.sleep(0.3)
            used_s = time.process_time() - before_s
            if over_bus and self._bus.lines - before_lines < lines * 0.9:
                raise RuntimeError("the lines did not go over Redis")
        return used_s / lines * 1e6


async def _named(
    name: str, measured: Measured, nodes: int, kind: str, lines: int, over_bus: bool
) -> Mapping[str, float]:
    return {name: await measured.line_us(nodes, kind, lines, over_bus=over_bus)}


async def measure(measured: Measured, options: argparse.Namespace) -> None:
    """Measure each number of nodes with and without the bus, in turn."""
    figures = {}
    for kind in _KINDS:
        for nodes in options.nodes:
            title, floor = f"lines {kind}, {nodes} nodes read", "floor: a stream for each"
            variants = [
                partial(_named, name, measured, nodes, kind, options.lines, over_bus)
                for name, over_bus in ((floor, False), ("over Redis", True))
            ]
            found = await interleave_async(variants, rounds=options.rounds, warm_up=0)
            figures[title] = compare(found, unit="us", floor=floor)
            report(title, figures[title])
    save(options.save, figures)


async def run(options: argparse.Namespace) -> None:
    """Start Redis and a node."""
    publisher.LEAST_NODES = 1
    with tempfile.TemporaryDirectory(prefix="preview-bus-") as folder, open_redis_server(Path(folder)) as server:
        await server.up()
        async with open_owner(Path(folder), within_s=math.inf) as owning, trio.open_nursery() as nursery:
            service, row = owning.owner.edge.app.backend.service, {**_ROW, "id": owning.owner.preview.id}
            # The lines are stored too.
            await service.database.write(lambda connection: connection.execute(insert(preview_instances).values(row)))
            bus = LogBus(server.address, b"k" * 32, nursery)
            owning.owner.edge.app.backend.shared_logs.bus = bus
            await measure(Measured(owning, bus), options)
            nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="measure each so often (5)")
    parser.add_argument("--lines", type=int, default=2000, help="lines each time (2000)")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 3, 4, 6], help="numbers of nodes that read")
    parser.add_argument("--save", type=Path, default=None, help="write all rounds there")
    parser.add_argument("--read", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        host, port, preview_id, nodes, over_bus = options.read
        trio.run(partial(read_as_nodes, host, int(port), preview_id, int(nodes), over_bus=over_bus == "1"))
    else:
        trio.run(run, options)


if __name__ == "__main__":
    main()
