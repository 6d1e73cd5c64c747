"""Streams that write to their sockets themselves: their ends, their slow readers, and that they say what others say."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import trio
from http_direct_kit import ENCODING, PREVIEW, Client, Direct, open_direct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from preview.core.clock import utc_now
from preview.errors import DatabaseUnavailable
from preview.http.protocol.strict_ws import Sends
from preview.http.streams.log_streams import Waits
from preview.logs import Contract, Cursor, Encoding, End, Format, Level, LineFilter, StatusChange, encode

# One in which the socket is readable, one in which its task runs; and as many again.
_TURNS_TO_NOTICE = 4
END = End(PREVIEW, "stopped", "You stopped it.", 0, None, 1_760_000_000_000)


async def test_a_stream_begins_with_what_was_said_and_goes_on(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        direct.log.say("before")
        client = direct.open()
        await client.until(b"before")
        direct.log.say("live")
        await client.until(b"live")
        assert client.body.startswith(b"retry: 2000\n\nid: 1\n")
        assert client.numbers == [1, 2]


async def test_the_end_closes_the_body_properly_and_lets_go_of_everything(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        clients = [direct.open() for _ in range(3)]
        await clients[0].until(b"retry")
        assert (direct.streams.total, direct.log.subscriber_count) == (3, 3)
        direct.log.finish(END)
        for client in clients:
            assert (await client.to_end()).endswith(encode([END], ENCODING))
            await client.over.wait()
        assert (direct.streams.total, direct.log.subscriber_count) == (0, 0)


@pytest.mark.parametrize("how", ["closes", "half-closes", "resets", "sends too much"])
async def test_a_client_that_leaves_is_noticed_at_once(tmp_path: Path, how: str) -> None:
    async with open_direct(tmp_path) as direct:
        client = direct.open()
        await client.until(b"retry")
        await wait_all_tasks_blocked()
        if how == "half-closes":
            await client.stream.send_eof()
        elif how == "sends too much":
            with suppress(trio.BrokenResourceError):
                await client.stream.send_all(bytes(100_000))
        else:
            if how == "resets":
                client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await client.stream.aclose()
        # Turns of the loop, each of which looks for what the kernel has to tell: no time passes, on no machine.
        turns = 0
        while not client.over.is_set():
            await trio.lowlevel.checkpoint()
            turns += 1
        assert turns <= _TURNS_TO_NOTICE
        assert direct.streams.total == 0


async def test_a_client_that_sends_more_keeps_its_stream(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        client = direct.open()
        await client.until(b"retry")
        await client.stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await wait_all_tasks_blocked(0.01)
        direct.log.finish(END)
        with trio.fail_after(60):
            assert (await client.to_end()).endswith(encode([END], ENCODING))


async def test_a_wake_up_for_nothing_is_not_taken_for_the_client_s_end(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "100"])  # noqa: ASYNC220  some milliseconds
    pidfd = os.pidfd_open(child.pid)
    try:
        async with open_direct(tmp_path) as direct:
            # Left in trio's epoll set under a number that a stream has then (epoll(7), Q6).
            stale = os.dup(pidfd)
            with trio.move_on_after(0.01):
                await trio.lowlevel.wait_readable(stale)
            os.close(stale)
            clients = [direct.open() for _ in range(4)]
            for client in clients:
                await client.until(b"retry")
            await wait_all_tasks_blocked(0.01)
            child.kill()
            child.wait()
            await wait_all_tasks_blocked(0.01)
            direct.log.finish(END)
            with trio.fail_after(60):
                for client in clients:
                    assert (await client.to_end()).endswith(encode([END], ENCODING))
    finally:
        child.kill()
        child.wait()
        os.close(pidfd)


async def test_writing_to_a_client_that_has_gone_harms_nobody(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        gone, stays = direct.open(), direct.open()
        await gone.until(b"retry")
        await stays.until(b"retry")
        await wait_all_tasks_blocked()
        gone.stream.socket.close()
        direct.log.say("on")  # in the same moment: its task has not run yet
        await stays.until(b"on")
        await gone.over.wait()


async def test_a_token_s_end_closes_the_stream(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        client = direct.open(expires_at=utc_now() + timedelta(seconds=0.1))
        assert (await client.to_end()).endswith(b"event: expired\ndata: {}\n\n")
        await client.over.wait()


async def test_a_token_that_ends_just_before_the_wait_begins_needs_no_wait() -> None:
    with trio.fail_after(60), Waits().until(-0.001) as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_shutdown_says_goodbye_and_later_streams_hear_it_too(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        client = direct.open()
        await client.until(b"retry")
        await wait_all_tasks_blocked()
        direct.waits.wake_all()
        assert b"shutting down" in await client.to_end()
        assert b"shutting down" in await direct.open().to_end()


async def test_a_quiet_stream_carries_comments(tmp_path: Path) -> None:
    async with open_direct(tmp_path, keep_alive_s=0.01) as direct:
        client = direct.open()
        await client.until(b": keep-alive\n\n: keep-alive\n\n")


async def test_a_slow_reader_replays_what_the_others_have_and_is_with_them_again(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        slow, quick = direct.open(send_buffer=4096), direct.open()
        for number in range(300):
            direct.log.say(f"{number} {'x' * 1000}")
            await quick.until(b"%d xxx" % number)
        (group,) = direct.streams._groups.values()
        assert group.live == 1
        await slow.until(b"299 xxx")
        await wait_all_tasks_blocked()
        assert group.live == 2
        direct.log.say("together")
        await slow.until(b"together")
        assert slow.numbers == list(range(1, 302))


async def test_a_stalled_reader_is_let_go_after_its_time_and_holds_one_chunk(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        direct.sends = Sends(0.2)
        stalled, other = direct.open(send_buffer=4096), direct.open()
        for number in range(100):
            direct.log.say(f"{number} {'x' * 1000}")
        await other.until(b"99 xxx")
        await stalled.over.wait()
        assert direct.streams.total == 1


@pytest.mark.timed
async def test_a_shutdown_waits_for_stalled_readers_only_a_moment(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        stalled = direct.open(send_buffer=4096)
        for number in range(100):
            direct.log.say(f"{number} {'x' * 1000}")
        await wait_all_tasks_blocked()
        begun = trio.current_time()
        direct.sends.hurry()
        direct.waits.wake_all()
        await stalled.over.wait()
        assert trio.current_time() - begun < 5


async def test_a_database_that_does_not_answer_closes_the_stream_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(cursor: Cursor, front: object, pages: object) -> list[object]:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr(Cursor, "catch_up", fails)
    async with open_direct(tmp_path) as direct:
        direct.log.say("one")
        assert await direct.open().to_end() == b"retry: 2000\n\n"


async def test_a_failure_of_a_group_closes_its_streams_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_direct(tmp_path) as direct:
        client = direct.open()
        await client.until(b"retry")
        await wait_all_tasks_blocked()
        (group,) = direct.streams._groups.values()
        monkeypatch.setattr(group, "_frame", None)
        direct.log.say("one")
        await client.over.wait()
        assert not client.complete
        monkeypatch.undo()
        again = direct.open()
        await again.until(b"one")


async def test_a_stream_whose_socket_was_closed_ends(tmp_path: Path) -> None:
    async with open_direct(tmp_path) as direct:
        client = direct.open()
        await client.stream.aclose()
        direct.log.say("one")
        await client.over.wait()


async def test_streams_of_other_forms_go_the_same_way_in_groups_of_their_own(tmp_path: Path) -> None:
    errors = Encoding(Contract.PLAN, Format.NDJSON, LineFilter(level=Level.ERROR))
    async with open_direct(tmp_path) as direct:
        direct.log.say("quiet")
        clients = [direct.open(encoding=errors), direct.open(encoding=errors), direct.open()]
        await clients[2].until(b"quiet")
        direct.log.say("loud", Level.ERROR)
        direct.log.finish(END)
        *told, whole = [await client.to_end() for client in clients]
    assert told[0] == told[1]
    assert [json.loads(line)["type"] for line in told[0].splitlines()] == ["line", "end"]
    assert clients[2].numbers == [1, 2]
    assert whole.endswith(encode([END], ENCODING))


async def read_at_random(client: Client, chance: random.Random) -> None:
    while await client.read(chance.choice([1, 100, 5000, 65536])):
        if chance.random() < 0.02:
            await trio.sleep(chance.random() / 100)


async def come_and_go(direct: Direct, chance: random.Random) -> list[int]:
    """Read with many connections, each resuming behind the last whole event; the numbers read."""
    numbers: list[int] = []
    while True:
        client = direct.open(after=numbers[-1] if numbers else 0, send_buffer=chance.choice([4096, None]))
        async with client.stream:
            for _ in range(chance.choice([1, 10, 10**6])):
                if not await client.read(chance.choice([200, 5000, 65536])):
                    break
        client.body = client.body[: client.body.rfind(b"\n\n") + 2]
        numbers += client.numbers
        if b"event: end" in client.body:
            return numbers


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_every_reader_gets_each_line_once_and_in_order(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    chance = random.Random(seed)
    bounds = {"max_log_lines": chance.choice([5, 50, 10_000]), "backlog_bytes": chance.choice([3000, 2**23])}

    async def main() -> None:
        read: list[list[int]] = []

        async def visit(direct: Direct, chance: random.Random) -> None:
            read.append(await come_and_go(direct, chance))

        async with open_direct(tmp_path_factory.mktemp("direct"), **bounds) as direct:
            slow = [direct.open(send_buffer=4096) for _ in range(3)]
            async with trio.open_nursery() as nursery:
                for client in slow:
                    nursery.start_soon(read_at_random, client, random.Random(chance.random()))
                for _ in range(3):
                    nursery.start_soon(visit, direct, random.Random(chance.random()))
                for number in range(150):
                    direct.log.say("\n".join(f"{number} {'x' * chance.choice([1, 500])}" for _ in range(5)))
                    if chance.random() < 0.05:
                        direct.log.publish_status(StatusChange(PREVIEW, "running", "healthy", str(number), 0))
                    if chance.random() < 0.3:
                        await trio.sleep(chance.random() / 200)
                direct.log.finish(END)
            for client in slow:
                assert client.complete
                assert b"event: gap" not in client.body
                assert client.body.endswith(encode([END], ENCODING))
            assert [*read, *(client.numbers for client in slow)] == [list(range(1, 751))] * 6

    async def bounded() -> None:
        with trio.fail_after(60):
            await main()

    trio.run(bounded)
