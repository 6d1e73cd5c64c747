"""One log stream between two nodes for all readers, from owners that break, lie and change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing
from nodes_kit import SECRET, open_two

from preview.cluster.credentials import NodeKey
from preview.cluster.links import NodeLink
from preview.errors import DatabaseUnavailable, PreviewUnavailable
from preview.http.relay import log_follow
from preview.http.routes import logs as log_routes
from preview.http.streams import shared_logs
from preview.http.streams.direct import DirectStreams
from preview.http.streams.log_streams import Waits
from preview.http.streams.node_log import _send_all
from preview.http.streams.shared_logs import SharedLogs
from preview.logs import Batch, Contract, Encoding, End, Format, Gap, LogReplica, LogStore, Subscription
from preview.logs.model.encode import encode
from preview.logs.model.wire import begin_frame, frames
from preview.proxy.pool import Address, open_pool
from preview.runtime import InnerAddress
from preview.settings import Settings

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.preview.log-frames\r\nconnection: close\r\n\r\n"
MOVED = End("", "failed", "moved to another node", None, None, 1, "moved")
OVER = End("", "stopped", "You stopped it.", 0, None, 1)


def lines(first: int, last: int) -> bytes:
    count = last - first + 1
    said = [f"line {number}" for number in range(first, last + 1)]
    return b"".join(frames(Batch("", first, [1] * count, bytes(count), said)))


def end(event: End) -> bytes:
    return b"".join(frames(event))


@dataclass
class Owner:
    """A node that says to each stream what the test says; and what it was asked."""

    answers: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    address: Address | None = None
    # Streams stay open after their answer.
    stays: bool = False
    streams: list[trio.SocketStream] = field(default_factory=list)
    closed: trio.Event = field(default_factory=trio.Event)
    shared_logs: SharedLogs | None = None

    async def locate(self, preview_id: str, *, fresh: bool) -> Address | None:
        return self.address

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            head = await stream.receive_some()
            self.asked.append(head.split(b" ")[1].decode())
            if self.asked[-1] == "/preview-node/logs":
                await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                return
            answer = self.answers.pop(0) if self.answers else b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
            self.streams.append(stream)
            await stream.send_all(answer)
            if self.stays:
                await stream.receive_some()
                self.closed.set()


class Store:
    """A database without lines."""

    async def bounds(self, preview_id: str) -> tuple[int, int]:
        return 0, 0


@asynccontextmanager
async def open_shared(*answers: bytes, stays: bool = False) -> AsyncIterator[tuple[Owner, SharedLogs]]:
    owner = Owner(list(answers), stays=stays)
    async with open_pool() as pool, trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, owner.serve, 0, host="127.0.0.1"))
        owner.address = ("127.0.0.1", listeners[0].socket.getsockname()[1])
        direct = DirectStreams(nursery, keep_alive_s=60, pending_bytes=1 << 20)
        shared = SharedLogs(nursery, pool, Settings(subscriber_batches=8), cast("LogStore", Store()), direct)
        shared.share_by(owner)
        with trio.fail_after(60):
            yield owner, shared
        nursery.cancel_scope.cancel()


async def read(subscription: Subscription) -> list[str]:
    """All lines, gaps and the end."""
    got = list[str]()
    try:
        while True:
            for event in await subscription.receive():
                if isinstance(event, Batch):
                    got += event.messages
                elif isinstance(event, Gap):
                    got.append(f"gap {event.first_seq}-{event.last_seq}")
                elif isinstance(event, End):
                    got.append(f"end: {event.reason}")
    except trio.EndOfChannel:
        return got


LIES = {
    "garbage": b"\xff" * 100,
    "a huge frame": (1 << 31).to_bytes(4, "big"),
    "no beginning": lines(1, 3),
    "lines left out": begin_frame(1, 3) + lines(1, 3) + lines(5, 6),
    "a gap left out": begin_frame(1, 3) + lines(1, 3) + b"".join(frames(Gap(8, 9, "lost"))),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_an_owner_that_lies_is_left_and_readers_connect_again(lie: bytes) -> None:
    async with open_shared(*[HEAD + lie] * 3) as (owner, shared):
        assert owner.address is not None
        assert await shared.can_share("GET", b"/x/preview/logs/stream", owner.address, None)
        with shared.reading("preview_a") as one:
            if b"line" in lie and lie.startswith(begin_frame(1, 3)):
                replica = await shared.opened(one)
                with replica.subscribe(after=0) as subscription:
                    got = await read(subscription)
                assert got == ["line 1", "line 2", "line 3"]
            else:
                with pytest.raises(PreviewUnavailable):
                    await shared.opened(one)
        # Each reader has a stream of its own for a while.
        assert not await shared.can_share("GET", b"/x/preview/logs/stream", owner.address, None)
        assert not len(shared)


async def test_a_cut_stream_goes_on_by_number_and_each_line_comes_once() -> None:
    whole = begin_frame(5, 8) + lines(5, 8)
    second = begin_frame(9, 12) + lines(9, 9) + lines(10, 12) + end(MOVED)
    third = begin_frame(11, 14) + lines(11, 14) + end(OVER)
    cut = HEAD + whole + lines(9, 11)[:-5]
    async with open_shared(cut, HEAD + second, HEAD + third) as (owner, shared), AsyncExitStack() as stack:
        replica = await shared.opened(stack.enter_context(shared.reading("preview_a")))
        with replica.subscribe(after=4) as subscription:
            got = await read(subscription)
        # The end of a preview that moves is not the readers' end.
        assert got == [*(f"line {number}" for number in range(5, 15)), "end: You stopped it."]
        path = "/preview-node/logs/preview_a"
        assert owner.asked == [path, f"{path}?after=8", f"{path}?after=12"]


LIAR = "failed: no module named 'moved to another node'; node lost ownership; stopped: the service is shutting down"


async def test_a_programs_words_in_the_reason_of_its_end_do_not_delay_it() -> None:
    over = End("", "failed", LIAR, 1, None, 1)
    async with (
        open_shared(HEAD + begin_frame(1, 3) + lines(1, 3) + end(over)) as (owner, shared),
        AsyncExitStack() as stack,
    ):
        replica = await shared.opened(stack.enter_context(shared.reading("preview_a")))
        with replica.subscribe(after=2) as subscription:
            assert await read(subscription) == ["line 3", f"end: {LIAR}"]
        # Nobody has been asked for more.
        assert owner.asked == ["/preview-node/logs/preview_a"]


@pytest.mark.parametrize(
    ("reason", "cause", "goes_on"),
    [
        (LIAR, None, False),
        ('node lost ownership", "cause": "moved', "user", False),
        ("anything", "shutdown", True),
        ("anything", "moved", True),
        ("anything", "node_lost", True),
        # As nodes of earlier versions say it.
        ("node lost ownership", None, True),
    ],
)
@pytest.mark.parametrize("contract", Contract)
def test_a_stream_between_nodes_goes_on_by_the_cause_of_its_end(
    reason: str, cause: str | None, goes_on: bool, contract: Contract
) -> None:
    encoded = encode([End("preview_a", "failed", reason, 1, None, 1, cause)], Encoding(contract, Format.SSE))
    assert log_follow._may_go_on(encoded) is goes_on


@pytest.mark.parametrize("form", [b"", b"data: []", b'data: {"cause": []}', b"data: [", b"data: {}\ndata: {}"])
def test_an_end_that_cannot_be_read_is_the_end(form: bytes) -> None:
    assert not log_follow._may_go_on(b"event: end\n" + form + b"\n\n")


async def test_a_reader_that_resumes_gets_no_line_again_while_the_owner_sends_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_logs, "LAG_S", 60.0)
    async with open_shared(HEAD + begin_frame(1, 3), stays=True) as (owner, shared), trio.open_nursery() as nursery:
        with shared.reading("preview_a") as one:
            got = list[int]()

            async def resume(after: int | None) -> None:
                got.append((await shared.opened(one, after)).last_seq)

            nursery.start_soon(resume, 3)
            # Last lines, and `follow=false`.
            nursery.start_soon(resume, None)
            await _until(_ready(lambda: owner.streams))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not got
            await owner.streams[0].send_all(lines(1, 2))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert not got
            await owner.streams[0].send_all(lines(3, 3))
            await _until(_ready(lambda: len(got) == 2))
            # Another node was ahead by a line, which is on its way.
            nursery.start_soon(resume, 4)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await owner.streams[0].send_all(lines(4, 4))
            await _until(_ready(lambda: len(got) == 3))
            assert got == [3, 3, 4]


async def test_a_number_of_no_line_waits_for_an_owner_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_logs, "LAG_S", 0.0)
    said = HEAD + begin_frame(1, 3) + lines(1, 3)
    async with open_shared(said, HEAD + begin_frame(1, 3), stays=True) as (owner, shared):
        with shared.reading("preview_a") as one:
            # The number is an earlier preview's: its node says so, asked again.
            assert (await shared.opened(one, 9)).last_seq == 3
            assert owner.asked == ["/preview-node/logs/preview_a", "/preview-node/logs/preview_a?after=9"]
            await owner.streams[0].send_eof()
            await _until(_ready(lambda: len(owner.asked) > 1))
            with pytest.raises(PreviewUnavailable):
                await shared.opened(one, 9)
            assert (await shared.opened(one, 3)).last_seq == 3


@pytest.mark.parametrize("answer", [HEAD + begin_frame(10, 12), b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", b""])
async def test_a_log_whose_open_stream_is_an_earlier_nodes_does_not_begin_again(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(shared_logs, "LAG_S", 0.0)
    monkeypatch.setattr(shared_logs, "_ANSWER_S", 5.0)
    # The node stands still with its stream open, and another one has gone on to line 12, or does not answer yet.
    async with open_shared(HEAD + begin_frame(1, 3) + lines(1, 3), answer, stays=True) as (_, shared):
        with shared.reading("preview_a") as one:
            assert (await shared.opened(one)).last_seq == 3
            with pytest.raises(PreviewUnavailable):
                await shared.opened(one, 9)
            assert (await shared.opened(one, 2)).last_seq == 3


async def test_a_thousand_readers_have_one_stream_and_a_stalled_one_catches_up() -> None:
    async with open_shared(HEAD + begin_frame(1, 1) + lines(1, 1), stays=True) as (owner, shared):
        with shared.reading("preview_a") as one:
            replica = await shared.opened(one)
            leaving = AsyncExitStack()
            for _ in range(999):
                leaving.enter_context(shared.reading("preview_a"))
                leaving.enter_context(replica.subscribe(tail=0))
            stalled = leaving.enter_context(replica.subscribe(after=0))
            for number in range(2, 42):
                await owner.streams[0].send_all(lines(number, number))
            with replica.subscribe(tail=0) as live:
                while replica.last_seq < 41:
                    await live.receive()
            got = list[str]()
            while len(got) < 41:
                for event in await stalled.receive():
                    got += event.messages if isinstance(event, Batch) else []
            assert got == [f"line {number}" for number in range(1, 42)]
            assert replica.broadcast.watchers == 1000
            assert owner.asked == ["/preview-node/logs/preview_a"]
            await leaving.aclose()
            assert one.readers == 1
            assert not owner.closed.is_set()
        await owner.closed.wait()
        assert not len(shared)


async def test_what_only_the_owner_knows_is_passed_on() -> None:
    async with open_shared() as (owner, shared):
        assert owner.address is not None
        path = b"/api/generations/g/preview/logs/stream"
        for query in (b"", b"?level=error", b"?q=x&source=system", b"?filter=error+-path:/health&tail=5"):
            assert await shared.can_share("GET", path + query, owner.address, None) is (b"path" not in query), query
        for query in (b"?ticket=x", b"?preview_id=preview_b", b"?filter=%28", b"?" + b"a=1&" * 200):
            assert not await shared.can_share("GET", path + query, owner.address, None), query
        assert await shared.can_share("GET", path + b"?preview_id=preview_a", owner.address, "preview_a")
        assert not await shared.can_share("HEAD", path, owner.address, None)
        assert owner.asked == ["/preview-node/logs"]
    async with open_shared(b"nothing") as (owner, shared):
        # A node of an earlier version: see ``Owner.serve``.
        owner.asked.append("")
        assert owner.address is not None
        assert not await shared.can_share("GET", path, (owner.address[0], 1), None)


@pytest.mark.parametrize(("bound", "value"), [("_MOST_LOGS", 1), ("_MOST_BYTES", 1)])
async def test_a_node_with_many_shared_logs_passes_the_next_one_on(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    path = b"/api/generations/g/preview/logs/stream"
    async with open_shared(HEAD + begin_frame(1, 3) + lines(1, 3), stays=True) as (owner, shared):
        assert owner.address is not None
        with shared.reading("preview_a") as one:
            await shared.opened(one)
            assert await shared.can_share("GET", path, owner.address, "preview_b")
            monkeypatch.setattr(shared_logs, bound, value)
            assert not await shared.can_share("GET", path, owner.address, "preview_b")
            # Its log is in memory already.
            assert await shared.can_share("GET", path, owner.address, "preview_a")
        assert await shared.can_share("GET", path, owner.address, "preview_b")


async def test_faults_that_are_far_apart_do_not_end_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_logs, "_FAULTS_S", -1.0)
    monkeypatch.setattr(shared_logs, "_PAUSE_S", 0.0)
    whole = HEAD + begin_frame(1, 3) + lines(1, 3) + end(OVER)
    async with open_shared(*[HEAD + LIES["garbage"]] * 4, whole) as (owner, shared):
        with shared.reading("preview_a") as one:
            assert (await shared.opened(one)).last_seq == 3
        assert len(owner.asked) == 5


async def test_lines_that_the_owner_cannot_read_now_end_its_stream() -> None:
    class Unreadable:
        next_seq = 7

        async def receive(self) -> None:
            raise DatabaseUnavailable("The database does not respond.")

    sent = list[dict[str, object]]()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    with trio.fail_after(60):
        await _send_all(Waits(), cast("Subscription", Unreadable()), send, 9)
    assert [(one["body"], one["more_body"]) for one in sent] == [(begin_frame(7, 9), True), (b"", False)]


async def test_a_log_is_given_to_nodes_only(tmp_path: Path) -> None:
    async with open_two(tmp_path) as two, open_pool() as pool, trio.open_nursery() as nursery:
        preview = two.owner.preview
        target = f"/preview-node/logs/{preview.id}"
        assert (await two.ask(f"GET {target}", two.authorization, host="localhost")).status == 404
        key = NodeKey(SECRET)
        address = InnerAddress(*two.internal, NodeLink("b", two.internal, key))
        owner = Owner(address=address)
        direct = DirectStreams(nursery, keep_alive_s=60, pending_bytes=1 << 20)
        shared = SharedLogs(nursery, pool, Settings(), cast("LogStore", Store()), direct)
        shared.share_by(owner)
        with trio.fail_after(60):
            assert await shared.can_share("GET", b"/x/preview/logs/stream", address, None)
            with shared.reading(preview.id) as one:
                replica = await shared.opened(one)
                with replica.subscribe(tail=0) as subscription:
                    preview.log.say("through one stream")
                    await _until(lambda: _says(subscription, "through one stream"))
                assert preview.log.subscriber_count == 1
            assert not len(shared)
        nursery.cancel_scope.cancel()


async def test_a_reader_of_a_log_that_was_lost_while_its_first_lines_were_found_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = LogReplica(
        "preview_a", cast("LogStore", Store()), max_lines=9, max_bytes=9, channel_batches=9
    )  # fmt: skip

    async def found(*_: object) -> LogReplica:
        return replica

    async with open_two(tmp_path) as two:
        registry, preview, got = two.owner.edge.app.backend.previews._registry, two.owner.preview, b""

        async def lost(*_: object) -> tuple[int, None]:
            # As on a node that does not have the preview.
            registry.remove(preview)
            replica.lose()
            return 0, None

        monkeypatch.setattr(log_routes, "_replica", found)
        monkeypatch.setattr(log_routes, "first_lines", lost)
        with trio.fail_after(60):
            async with await trio.open_tcp_stream(*two.owner.edge.address) as stream:
                await stream.send_all(two.head(f"GET {two.api}/logs/stream", two.authorization, host="localhost"))
                while b"\r\n" not in got:
                    got += await stream.receive_some()
        registry.add(preview)
    assert got.startswith(b"HTTP/1.1 503 "), got


async def _says(subscription: Subscription, text: str) -> bool:
    return any(isinstance(event, Batch) and text in event.messages for event in await subscription.receive())


def _ready(check: Callable[[], object]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        await trio.lowlevel.checkpoint()
        return bool(check())

    return look


async def _until(check: Callable[[], Awaitable[bool]]) -> None:
    while not await check():
        pass
