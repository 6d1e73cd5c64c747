"""A log of another node, read over Redis: by two nodes, through faults."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
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
from preview.http.streams.node_log import PREFIX
from preview.http.streams.shared_logs import SharedLogs
from preview.logs import Batch, LogStore, PreviewLog, Subscription
from preview.logs.bus import LogBus
from preview.logs.bus.publisher import MOST_READ_LOGS
from preview.logs.model.wire import begin_frame, frames, position_frame
from preview.proxy.pool import Address, open_pool
from preview.runtime import InnerAddress
from preview.settings import Settings
from preview.settings_address import RedisAddress

KEY = b"k" * 32
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.preview.log-frames\r\nconnection: close\r\n\r\n"
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


def lines(first: int, last: int) -> bytes:
    count = last - first + 1
    return b"".join(frames(Batch("", first, [1] * count, bytes(count), ["x"] * count)))


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


class Fakes:
    """An owner with many logs, and a Redis that takes connections and says nothing."""

    def __init__(self, *, knows_bus: bool) -> None:
        self.knows_bus = knows_bus
        self.targets: list[str] = []
        self.plain_streams = self.at_redis = self.most_at_redis = 0

    async def owner(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive_some()
            self.targets.append(head.split(b" ")[1].decode())
            found = re.fullmatch(r"(?:after=(\d{1,15}))?", self.targets[-1].partition("?")[2])
            # Lines 1 to 4000 are there; a stream of no number begins with the newest.
            first = 1 + (3000 if found is None or found[1] is None else int(found[1]))
            wishes = self.knows_bus and b"preview-bus:" in head.lower()
            # Who reads from the bus gets positions alone.
            answer = HEAD if wishes and b"preview-bus: only" in head.lower() else HEAD + begin_frame(first, 4000)
            if not wishes and first == 3001:
                # It breaks off, and goes on by number.
                await stream.send_all(answer + lines(first, 3500))
                return
            await stream.send_all(answer + (lines(first, 4000) if first <= 4000 else b""))
            if wishes:
                await stream.send_all(position_frame(4000, "0" * 16))
            else:
                self.plain_streams += 1
            with suppress(trio.BrokenResourceError):
                await stream.receive_some()

    async def redis(self, stream: trio.SocketStream) -> None:
        async with stream:
            self.at_redis += 1
            self.most_at_redis = max(self.most_at_redis, self.at_redis)
            with suppress(trio.BrokenResourceError):
                while await stream.receive_some():
                    pass
            self.at_redis -= 1


@asynccontextmanager
async def faking(*, knows_bus: bool) -> AsyncIterator[tuple[Fakes, SharedLogs, LogBus]]:
    fakes = Fakes(knows_bus=knows_bus)
    async with open_pool() as pool, trio.open_nursery() as nursery:
        ports = []
        for serve in (fakes.owner, fakes.redis):
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            ports.append(listeners[0].socket.getsockname()[1])
        bus = LogBus(RedisAddress("127.0.0.1", ports[1], False, None, None, 0), KEY, nursery)
        direct = DirectStreams(nursery, keep_alive_s=60, pending_bytes=1 << 20)
        shared = SharedLogs(nursery, pool, Settings(), cast("LogStore", Store()), direct, bus)
        shared.share_by(Locator(("127.0.0.1", ports[0])))
        with trio.fail_after(PATIENCE_S):
            yield fakes, shared, bus
        nursery.cancel_scope.cancel()


async def test_a_node_reads_a_bounded_number_of_logs_from_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.logs.bus.reader._LATE_S", PATIENCE_S)
    monkeypatch.setattr("preview.logs.bus.reader._CONNECT_S", PATIENCE_S)
    async with faking(knows_bus=True) as (fakes, shared, bus):
        with ExitStack() as held:
            logs = [held.enter_context(shared.reading(f"preview_{number}")) for number in range(MOST_READ_LOGS + 4)]
            for one in logs:
                await shared.opened(one)
            while fakes.plain_streams < 4:  # noqa: ASYNC110  tasks of the node
                await trio.sleep(0.01)
            assert bus.reading == MOST_READ_LOGS
            assert (bus.refused, fakes.most_at_redis <= MOST_READ_LOGS) == (0, True)
            assert {one.replica.last_seq for one in logs} == {4000}


async def test_an_owner_of_an_earlier_version_goes_on_by_number() -> None:
    async with faking(knows_bus=False) as (fakes, shared, bus):
        with shared.reading("preview_a") as one:
            replica = await shared.opened(one)
            await one.reached(4000)
            assert replica.last_seq == 4000
            assert fakes.targets == [f"{PREFIX}/preview_a", f"{PREFIX}/preview_a?after=3500"]
            assert (one.refused, bus.reading) == (None, 0)
