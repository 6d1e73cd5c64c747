"""Lines over Redis: a real server that is killed, stopped, emptied, trimmed, and written into by strangers."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from redis_kit import Server, open_redis_server

from preview.logs.bus import BusFault, BusStream, LogBus, Publication, follow_bus
from preview.logs.bus.entries import add_command, batches_in, entries_of
from preview.logs.bus.publisher import LEAST_NODES
from preview.logs.bus.redis import RedisFault, RedisRefusal, ReplyReader, encode_command, open_redis
from preview.logs.delivery.backlog import Backlog, Broadcast, Cursor
from preview.logs.delivery.subscription import Subscription
from preview.logs.model.batch import Batch
from preview.settings_address import RedisAddress

KEY = b"k" * 32
ID = "preview_1"
STREAM = BusStream(ID, "0" * 16)
PATIENCE_S = 60


def batch(first: int, messages: Sequence[str], preview_id: str = ID) -> Batch:
    return Batch(preview_id, first, [1_700_000_000_000] * len(messages), bytes(len(messages)), list(messages))


# Entries and replies: pure


def replies_in(reader: ReplyReader, wire: bytes, size: int = 7) -> list[object]:
    found: list[object] = []
    for at in range(0, len(wire), size):
        reader.feed(wire[at : at + size])
        while (one := reader.next()) is not None:
            found.append(one[0])
    return found


@pytest.mark.parametrize(
    "reply",
    [
        b"?1\r\n", b"$-2\r\n", b"*-7\r\n", b"$x\r\n", b"*2000000\r\n", b"$999999999999\r\n", b"*1\r\n" * 20,
        b"*1\r\n-ERR no\r\n", b"*40\r\n" + b"*40\r\n:1\r\n" * 40, b"+" + b"x" * 70_000, b"$2000\r\n" + b"x" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_reply_or_too_long_is_refused(reply: bytes) -> None:
    reader = ReplyReader(1000)
    with pytest.raises(RedisFault):
        replies_in(reader, reply)


def test_replies_are_read_in_any_pieces() -> None:
    wire = b"+OK\r\n:7\r\n$-1\r\n$3\r\na\r\n\r\n*2\r\n*1\r\n$1\r\nx\r\n*-1\r\n-ERR no\r\n"
    for size in (1, 2, 3, len(wire)):
        found = replies_in(ReplyReader(1000), wire, size)
        assert found[:5] == [b"OK", 7, None, b"a\r\n", [[b"x"], None]]
        assert isinstance(found[5], RedisRefusal)


def test_only_the_owners_entries_are_lines() -> None:
    (entry,) = entries_of(STREAM, [batch(5, ["a"]), batch(6, ["b"])], KEY)
    assert entry[0] == "6-0"

    def lines(
        name: bytes, content: bytes, stream: BusStream = STREAM, key: bytes = KEY, field: bytes = b"f"
    ) -> list[str]:
        found = batches_in([[b"s", [[name, [field, content]]]]], stream, key)
        return [message for one in found for message in one.messages]

    assert lines(b"6-0", entry[1]) == ["a", "b"]
    for wrong in (
        lambda: lines(b"7-0", entry[1]),  # another number
        lambda: lines(b"6-0", entry[1], BusStream("preview_2", STREAM.token)),
        lambda: lines(b"6-0", entry[1], BusStream(ID, "f" * 16)),  # of an earlier stream of the same log
        lambda: lines(b"6-0\0", entry[1][:32] + entry[1][33:]),  # the same signed bytes, divided elsewhere
        lambda: lines(b"6-0", entry[1], key=b"x" * 32),
        lambda: lines(b"6-0", entry[1][:-1]),
        lambda: lines(b"6-0", b""),
        lambda: lines(b"6-0", entry[1], field=b"g"),
        lambda: batches_in([[b"s", [[b"6-0", None]]]], STREAM, KEY),
        lambda: batches_in([[b"s", [b"6-0"]]], STREAM, KEY),
        lambda: batches_in(7, STREAM, KEY),
        lambda: batches_in([], STREAM, KEY),
    ):
        with pytest.raises(BusFault):
            wrong()
    assert batches_in(None, STREAM, KEY) == []


def test_long_batches_are_several_entries_and_a_longer_line_is_none() -> None:
    long = batch(1, ["x" * 1000] * 3000)
    names = [name for name, _ in entries_of(STREAM, [long], KEY)]
    assert len(names) > 3
    assert names[-1] == "3000-0"
    with pytest.raises(BusFault):
        list(entries_of(STREAM, [batch(1, ["x" * 2_000_000])], KEY))


# With a real server


async def until(check: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not check():  # noqa: ASYNC110  what is awaited is another process's doing
            await trio.sleep(0.01)


class Log:
    """A log of a node, as the bus needs it."""

    def __init__(self) -> None:
        self.preview_id = ID
        self.backlog = Backlog(max_lines=100_000, max_bytes=50_000_000)
        self.broadcast = Broadcast()
        self.last_seq = 0
        self.status = self.end = None
        self.store = None

    def say(self, *messages: str) -> None:
        made = batch(self.last_seq + 1, messages)
        self.last_seq = made.last_seq
        self.backlog.append(made)
        self.broadcast.send(made)

    def subscribe(self, *, after: int | None = None) -> Subscription:
        start = (after or 0) + 1
        return Subscription(self, Cursor(self, start=start), channel_batches=100, channel_bytes=10_000_000)  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with open_redis_server(tmp_path) as made:
        yield made


class Node:
    """A node that reads a log, over the bus while that works, else from the owner, as `SharedLog` does."""

    def __init__(self, server: Server, owner: Log, publication: Publication) -> None:
        self.server = server
        self.owner = owner
        self.publication = publication
        self.lines: list[str] = []
        self.last_seq = 0
        self.faults: list[str] = []
        self.turn, self.at = trio.CancelScope(), publication.stream

    def take(self, came: Batch) -> None:
        if came.last_seq <= self.last_seq:
            return
        if came.first_seq > self.last_seq + 1:
            raise BusFault(f"a hole: {came!r} after {self.last_seq}")
        came = came.after(self.last_seq)
        self.lines += came.messages
        self.last_seq = came.last_seq

    @property
    def stream(self) -> BusStream:
        assert self.publication.stream is not None
        return self.publication.stream

    async def run(self) -> None:
        while True:
            try:
                with trio.CancelScope() as scope:
                    self.turn, self.at = scope, self.stream
                    await follow_bus(self.server.address, KEY, self.at, lambda: self.last_seq, self.take)
                self.catch_up()
            except BusFault as fault:
                self.faults.append(str(fault))
                self.catch_up()
                await trio.sleep(0.01)

    async def turns(self) -> None:
        """End a turn when the owner writes another stream, as the owner's positions tell `BusReading`."""
        while True:
            if self.publication.stream != self.at:
                self.turn.cancel()
            await trio.sleep(0.01)

    def catch_up(self) -> None:
        for one in self.owner.backlog.after(self.last_seq, max_bytes=10_000_000):
            self.take(one)

    async def has(self, count: int) -> None:
        await until(lambda: self.last_seq >= count)
        assert self.lines == [f"line {number}" for number in range(1, count + 1)]


@asynccontextmanager
async def opened(server: Server) -> AsyncIterator[tuple[Log, LogBus, Node]]:
    await server.up()
    async with trio.open_nursery() as nursery:
        log, bus = Log(), LogBus(server.address, KEY, nursery)
        with ExitStack() as readers:
            # Fewer nodes read it cheaper from the owner.
            for _ in range(LEAST_NODES):
                assert not bus.is_writing
                publication = readers.enter_context(bus.read_by_node(log))
            assert bus.is_writing
            await until(lambda: publication.begun_after is not None)
            node = Node(server, log, publication)
            nursery.start_soon(node.run)
            nursery.start_soon(node.turns)
            yield log, bus, node
        nursery.cancel_scope.cancel()


def said(log: Log, count: int) -> None:
    for _ in range(count):
        log.say(f"line {log.last_seq + 1}")


async def test_lines_come_over_the_bus_once_and_in_order(server: Server) -> None:
    async with opened(server) as (log, bus, node):
        for _ in range(20):
            said(log, 50)
            await trio.lowlevel.checkpoint()
        await node.has(1000)
        # Redis has acknowledged them all a moment later.
        await until(lambda: bus.lines == 1000)
        assert node.faults == []
        expiry = await server.do("TTL", node.stream.name)
        assert isinstance(expiry, int)
        assert 0 < expiry <= 60
        assert await server.do("XLEN", node.stream.name) <= 1000  # type: ignore[operator]
        last = await server.do("XREVRANGE", node.stream.name, "+", "-", "COUNT", 1)
        assert last[0][0] == b"1000-0"  # type: ignore[index]


async def test_an_emptied_or_trimmed_redis_costs_no_line(server: Server) -> None:
    async with opened(server) as (log, _, node):
        said(log, 10)
        await node.has(10)
        for command in (("FLUSHALL",), ("XTRIM", node.stream.name, "MAXLEN", 0), ("DEL", node.stream.name)):
            await server.do(*command)
            said(log, 10)
            await node.has(log.last_seq)


async def test_a_stream_that_was_deleted_expires_again(server: Server) -> None:
    async with opened(server) as (log, bus, node):
        for _ in range(3):
            said(log, 3)
            await until(lambda: bus.lines == log.last_seq)
            assert await server.do("TTL", node.stream.name) in range(1, 61)
            await server.do("FLUSHALL")


async def test_each_command_leaves_an_expiry(server: Server) -> None:
    """The connection may break after any of them, at the first entry of a stream too."""
    await server.up()
    (entry,) = entries_of(STREAM, [batch(1, ["a"])], KEY)
    async with open_redis(server.address, most_bytes=1000, within_s=PATIENCE_S) as redis:
        await redis.call(*add_command(STREAM, *entry), within_s=PATIENCE_S)
        assert await server.do("TTL", STREAM.name) in range(1, 61)
        # It is refused as before, and not for another reason.
        with pytest.raises(RedisRefusal, match="equal or smaller"):
            await redis.call(*add_command(STREAM, *entry), within_s=PATIENCE_S)
    assert await server.do("XLEN", STREAM.name) == 1


async def test_a_killed_redis_costs_no_line_and_is_used_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.logs.bus.publisher._PAUSE_S", 0.05)
    async with opened(server) as (log, bus, node):
        said(log, 10)
        await node.has(10)
        server.kill()
        said(log, 10)
        await node.has(20)
        assert bus.faults
        server.start()
        await server.up()
        with trio.fail_after(PATIENCE_S):
            while bus.lines < 25:
                said(log, 1)
                await trio.sleep(0.05)
        await node.has(log.last_seq)


async def test_a_stopped_redis_holds_up_nobody(server: Server) -> None:
    async with opened(server) as (log, bus, node):
        said(log, 10)
        await node.has(10)
        server.signal(signal.SIGSTOP)
        try:
            said(log, 1000)
            await node.has(1010)
            await until(lambda: bus.faults > 0)
        finally:
            server.signal(signal.SIGCONT)
        assert any("respond" in one or "accept" in one for one in node.faults)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"y" * 20_000_000], ids=["empty", "forged", "huge"])
async def test_a_strangers_entry_is_never_a_line(server: Server, content: bytes) -> None:
    async with opened(server) as (log, _, node):
        said(log, 5)
        await node.has(5)
        await server.do("XADD", node.stream.name, "6-0", "f", content)
        await until(lambda: bool(node.faults))
        said(log, 5)
        await node.has(10)


async def test_a_strangers_number_does_not_keep_lines_out(server: Server) -> None:
    async with opened(server) as (log, bus, node):
        await server.do("XADD", node.stream.name, "18446744073709551615-0", "f", "x")
        said(log, 5)
        await node.has(5)
        await until(lambda: bus.lines >= 5)
        assert bus.faults == 0
        assert await server.do("XLEN", node.stream.name) >= 1  # type: ignore[operator]


async def test_a_replayed_entry_changes_nothing(server: Server) -> None:
    async with opened(server) as (log, _, node):
        said(log, 3)
        await node.has(3)
        ((name, content),) = entries_of(node.stream, [batch(1, ["line 1"])], KEY)
        async with open_redis(server.address, most_bytes=1000, within_s=PATIENCE_S) as redis:
            with pytest.raises(RedisRefusal):  # Redis itself refuses numbers that were there
                await redis.call(*add_command(node.stream, name, content), within_s=PATIENCE_S)
        said(log, 3)
        await node.has(6)


async def test_a_wrong_password_is_a_fault(server: Server) -> None:
    await server.up()
    wrong = RedisAddress("127.0.0.1", server.port, False, None, "wrong", 0)
    with pytest.raises(BusFault):
        await follow_bus(wrong, KEY, STREAM, lambda: 0, lambda _: None)


async def test_a_server_that_sends_without_end_is_left() -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]

    async def flood(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(b"$900000000\r\n")
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b"x" * 65536)

    address = RedisAddress("127.0.0.1", listener.socket.getsockname()[1], False, None, None, 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, flood, [listener])
        with trio.fail_after(PATIENCE_S), pytest.raises(BusFault):
            await follow_bus(address, KEY, STREAM, lambda: 0, lambda _: None)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def lying(*replies: bytes) -> AsyncIterator[tuple[RedisAddress, list[bytes]]]:
    """A server that sends these replies in turn, and the last one again and again; and what was sent to it."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    came: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError):
                while data := await stream.receive_some():
                    came.append(data)
                    await stream.send_all(replies[min(len(came), len(replies)) - 1])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        with trio.fail_after(PATIENCE_S):
            yield RedisAddress("127.0.0.1", listener.socket.getsockname()[1], False, None, "hunter2", 0), came
        nursery.cancel_scope.cancel()


async def test_a_server_that_does_not_wait_keeps_nobody_busy() -> None:
    ((name, content),) = entries_of(STREAM, [batch(1, ["a"])], KEY)
    entry = b"$3\r\n%b\r\n*2\r\n$1\r\nf\r\n$%d\r\n%b\r\n" % (name.encode(), len(content), content)
    repeated = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n" + entry
    for reply in (b"*-1\r\n", repeated):
        async with lying(b"+OK\r\n", reply) as (address, came):
            with trio.move_on_after(1.2):
                await follow_bus(address, KEY, STREAM, lambda: 1, lambda _: None)
            assert 2 <= len(came) <= 5


async def test_a_server_that_repeats_the_password_does_not_get_it_into_a_log() -> None:
    async with lying(b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2'\r\n") as (address, _):
        with pytest.raises(BusFault) as found:
            await follow_bus(address, KEY, STREAM, lambda: 0, lambda _: None)
        assert "hunter2" not in f"{found.value}{address}"


async def test_a_long_refusal_is_cut() -> None:
    async with lying(b"+OK\r\n", b"-" + b"x" * 60_000 + b"\r\n") as (address, _):
        with pytest.raises(BusFault) as found:
            await follow_bus(address, KEY, STREAM, lambda: 0, lambda _: None)
        assert len(str(found.value)) <= 200


async def test_a_name_that_is_none_is_a_fault() -> None:
    with pytest.raises(BusFault):
        await follow_bus(RedisAddress("a..b", 1, False, None, None, 0), KEY, STREAM, lambda: 0, lambda _: None)


async def test_each_beginning_has_a_stream_of_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.logs.bus.publisher._PAUSE_S", 0.05)
    async with opened(server) as (log, _, node):
        said(log, 3)
        await node.has(3)
        first = node.stream
        await server.do("CLIENT", "KILL", "TYPE", "normal")
        said(log, 3)
        await until(lambda: node.stream != first)
        said(log, 3)
        await node.has(log.last_seq)


def test_commands_are_arrays_of_strings() -> None:
    assert encode_command(["SET", b"\0", 7]) == b"*3\r\n$3\r\nSET\r\n$1\r\n\0\r\n$1\r\n7\r\n"
