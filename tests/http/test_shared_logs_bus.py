"""A log of another node, read over Redis: by two nodes, through faults."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
import trio
from nodes_kit import SECRET, open_owner
from redis_kit import Server, open_redis_server

from preview.cluster.credentials import NodeKey
from preview.cluster.links import NodeLink
from preview.http.streams import shared_logs
from preview.http.streams.direct import DirectStreams
from preview.http.streams.shared_logs import SharedLogs
from preview.logs import Batch, LogStore, PreviewLog, Subscription
from preview.logs.bus import LogBus
from preview.proxy.pool import Address, open_pool
from preview.runtime import InnerAddress
from preview.settings import Settings

KEY = b"k" * 32
PATIENCE_S = 180


class Locator:
    shared_logs: SharedLogs | None = None

    def __init__(self, address: Address) -> None:
        self.address = address

    async def locate(self, preview_id: str, *, fresh: bool) -> Address | None:
        return self.address


class Store:
    async def bounds(self, preview_id: str) -> tuple[int, int]:
        return 0, 0


class Reading:
    """The reader of one node, and its lines."""

    def __init__(self, log: PreviewLog, owner: LogBus, bus: LogBus, subscription: Subscription, server: Server) -> None:
        self.log = log
        self.owner = owner
        self.bus = bus
        self.server = server
        self.said = 0
        self.got: list[str] = []
        self._subscription = subscription

    async def says(self, count: int) -> None:
        """The preview says lines, and the node has each of them once and in order."""
        for _ in range(count):
            self.said += 1
            self.log.say(f"bus {self.said}")
        while len(self.got) < self.said:
            for event in await self._subscription.receive():
                if isinstance(event, Batch):
                    self.got += [message for message in event.messages if message.startswith("bus ")]
        assert self.got == [f"bus {number}" for number in range(1, self.said + 1)]

    async def is_on_the_bus(self) -> None:
        """Lines are said until the node no longer has a stream with lines from the owner."""
        while True:
            before = self.owner.lines
            await self.says(1)
            if self.bus.reading and self.owner.lines > before:
                return
            await trio.sleep(0.02)


@asynccontextmanager
async def reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reading]:
    monkeypatch.setattr("preview.logs.bus.publisher.LEAST_NODES", 1)
    monkeypatch.setattr("preview.logs.bus.publisher._PAUSE_S", 0.05)
    monkeypatch.setattr(shared_logs, "_NO_BUS_S", 0.2)
    with open_redis_server(folder) as server:
        await server.up()
        async with (
            open_owner(folder, within_s=PATIENCE_S) as owning,
            open_pool() as pool,
            trio.open_nursery() as nursery,
        ):
            preview = owning.owner.preview
            owner, bus = (LogBus(server.address, KEY, nursery) for _ in range(2))
            owning.owner.edge.app.backend.shared_logs.bus = owner
            address = InnerAddress(*owning.internal, NodeLink("b", owning.internal, NodeKey(SECRET)))
            direct = DirectStreams(nursery, keep_alive_s=60, pending_bytes=1 << 20)
            shared = SharedLogs(nursery, pool, Settings(), cast("LogStore", Store()), direct, bus)
            shared.share_by(Locator(address))
            with trio.fail_after(PATIENCE_S), shared.reading(preview.id) as one:
                replica = await shared.opened(one)
                with replica.subscribe(tail=0) as subscription:
                    yield Reading(preview.log, owner, bus, subscription, server)
            nursery.cancel_scope.cancel()


async def test_lines_come_over_the_bus_and_from_the_owner_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(tmp_path, monkeypatch) as node:
        await node.is_on_the_bus()
        assert node.bus.refused == 0
        await node.says(500)
        # Emptied, trimmed, and written into by a stranger
        await node.server.do("FLUSHALL")
        await node.says(10)
        assert node.bus.refused == 0
        await node.is_on_the_bus()
        refused = node.bus.refused
        names = cast("list[bytes]", await node.server.do("KEYS", "preview:lines:*"))
        for name in names:
            await node.server.do("XADD", name, f"{node.log.last_seq + 1}-0", "f", "forged")
        while node.bus.refused == refused:  # noqa: ASYNC110  what is awaited is another process's doing
            await trio.sleep(0.02)
        await node.says(10)
        await node.is_on_the_bus()
        # Stopped: lines are late, not lost
        node.server.signal(signal.SIGSTOP)
        await node.says(50)
        node.server.signal(signal.SIGCONT)
        await node.is_on_the_bus()
        # Killed, and back empty
        node.server.kill()
        await node.says(50)
        node.server.start()
        await node.server.up()
        await node.is_on_the_bus()
        await node.says(50)
        assert node.bus.refused
