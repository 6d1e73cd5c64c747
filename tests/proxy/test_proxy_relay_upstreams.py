"""The relay and previews that answer wrongly, late, or not at all; and what is kept of connections to them."""

from __future__ import annotations

import h11
import pytest
import trio
from proxy_relay_kit import OpenDoor, Seen, answers, get, next_request, ok, recording, relay_to, relay_with, request

from preview.http.relay import slow_path

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSE = b"Connection: close"

MALFORMED = {
    "nothing": b"",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 No\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nxx",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n",
    "a switch nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "interim answers without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 40,
    "a first chunk of no size": CHUNKED + b"zz\r\n",
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_an_answer_that_is_none_is_a_502(what: str) -> None:
    async with relay_to(answers(MALFORMED[what], close=True)) as front:
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 0"))
    final = raw.replace(b"HTTP/1.1 102 Processing", b"")
    assert b"HTTP/1.1 502 " in final
    assert front.door.refused[0].code == "upstream_failed"


BROKEN_OFF = {
    "short of its length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxx",
    "in a chunk": CHUNKED + b"5\r\nxx",
    "ahead of the last chunk": CHUNKED + b"2\r\nxx\r\n",
    "with a broken chunk": CHUNKED + b"2\r\nxx\r\nz",
}


@pytest.mark.parametrize("what", BROKEN_OFF)
async def test_an_answer_that_breaks_off_is_seen_to_have_broken_off(what: str) -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(BROKEN_OFF[what][:-1])
        await trio.testing.wait_all_tasks_blocked(0.01)
        await stream.send_all(BROKEN_OFF[what][-1:])

    async with relay_to(handler) as front:
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 0", CLOSE))
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(raw)
    parser.receive_data(b"")
    with pytest.raises(h11.RemoteProtocolError):
        _read_whole(parser)


async def test_to_a_client_of_http_1_0_an_answer_that_breaks_off_ends_with_a_reset() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(CHUNKED + b"2\r\nxx\r\n")

    async with relay_to(handler) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(b"POST / HTTP/1.0\r\nHost: preview_x.localhost\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError):
            await _drained(stream)


async def test_nobody_there_is_a_503() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        async with relay_with(OpenDoor(unused.getsockname())) as front:
            raw = await front.exchange(get())
    assert raw.startswith(b"HTTP/1.1 503 ")


async def test_an_answer_that_does_not_begin_in_time_is_a_504() -> None:
    async def handler(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with relay_to(handler, proxy_timeout_s=0.3) as front:
        raw = await front.exchange(get())
        raw_head = await front.exchange(request(b"HEAD", b"/"))
    assert raw.startswith(b"HTTP/1.1 504 ")
    assert raw_head.endswith(b"\r\n\r\n")


async def test_content_that_does_not_come_is_told_as_that() -> None:
    async with relay_to(answers(ok()), body_timeout_s=0.3) as front:
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 5", body=b"ab"))
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"did not arrive" in raw


async def test_a_quiet_answer_ends_when_it_has_been_quiet_for_too_long() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(CHUNKED + b"2\r\nxx\r\n")
        await trio.sleep_forever()

    async with relay_to(handler, proxy_idle_timeout_s=0.3) as front:
        raw = await front.exchange(get())
    assert raw.endswith(b"xx\r\n")


# Kept connections


async def test_requests_share_a_connection_one_after_the_other() -> None:
    async with relay_to(answers(ok())) as front:
        for _ in range(5):
            await front.ask(get())
        assert front.connections["all"] == 1
        front.door.process = 2
        await front.ask(get())
        assert front.connections["all"] == 2


POISONED = {
    "two answers": ok(b"one") + ok(b"two"),
    "bytes behind the answer": ok(b"one") + b"x",
    "bytes behind the last chunk": CHUNKED + b"0\r\n\r\nx",
    "both lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "content behind 204": b"HTTP/1.1 204 No Content\r\n\r\nx",
    "Connection: close": ok(b"", CLOSE),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", POISONED)
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(what: str) -> None:
    async with relay_to(answers(POISONED[what])) as front:
        for _ in range(2):
            await front.ask(get())
        assert front.connections["all"] == 2


async def test_what_comes_late_behind_an_answer_is_nobodys() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        parser = h11.Connection(h11.SERVER)
        await next_request(parser, stream)
        await stream.send_all(ok(b"one"))
        await stream.send_all(ok(b"two"))
        await stream.receive_some()

    async with relay_to(handler) as front:
        for _ in range(3):
            assert (await front.ask(get()))[1] == b"one"
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_after_head_a_connection_is_not_used_again() -> None:
    async with relay_to(answers(ok())) as front:
        for _ in range(2):
            await front.ask(request(b"HEAD", b"/"), method="HEAD")
        assert front.connections["all"] == 2


async def test_a_request_that_may_be_repeated_is_sent_anew_where_an_idle_connection_was_closed_on_it() -> None:
    seen: list[Seen] = []

    async def handler(stream: trio.SocketStream) -> None:
        # Each connection answers once, and closes upon the next request without a word.
        parser = h11.Connection(h11.SERVER)
        request = await next_request(parser, stream)
        assert request is not None
        seen.append(request)
        await stream.send_all(ok())
        await stream.receive_some()

    async with relay_to(handler) as front:
        assert [(await front.ask(get()))[0].status_code for _ in range(3)] == [200, 200, 200]
        assert len(seen) == 3
        raw = await front.exchange(request(b"POST", b"/", b"Content-Length: 0"))
    assert raw.startswith(b"HTTP/1.1 502 ")


async def test_a_connection_closed_while_idle_is_not_tried() -> None:
    async with relay_to(answers(ok(), close=True)) as front:
        for _ in range(3):
            head, _ = await front.ask(request(b"POST", b"/", b"Content-Length: 0"))
            assert head.status_code == 200
            await trio.testing.wait_all_tasks_blocked(0.01)


# Whoever goes away


async def test_a_client_that_goes_ends_the_request_at_the_preview_at_once() -> None:
    ended = trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        assert await stream.receive_some() == b""
        ended.set()

    async with relay_to(handler) as front:
        stream = await trio.open_tcp_stream(*front.address)
        await stream.send_all(get())
        while not front.connections["open"]:
            await trio.testing.wait_all_tasks_blocked(0.001)
        await stream.aclose()
        with trio.fail_after(60):
            await ended.wait()


async def test_a_client_that_goes_in_the_middle_of_its_content_is_not_taken_to_have_ended_it() -> None:
    seen: list[Seen] = []
    async with relay_to(recording(seen, ok())) as front:
        for framing, part in ((b"Content-Length: 10", b"abc"), (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n")):
            stream = await trio.open_tcp_stream(*front.address)
            await stream.send_all(request(b"POST", b"/", framing, body=part))
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stream.aclose()
        while front.connections["open"]:
            await trio.testing.wait_all_tasks_blocked(0.001)
    assert seen == []


async def test_at_a_shutdown_idle_connections_end_at_once_and_an_answer_that_has_begun_ends_well() -> None:
    go_on, asked = trio.Event(), trio.Event()

    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        asked.set()
        await go_on.wait()
        await stream.send_all(ok(b"done"))
        await stream.receive_some()

    async with relay_to(handler) as front:
        idle = await trio.open_tcp_stream(*front.address)
        busy = await trio.open_tcp_stream(*front.address)
        async with idle, busy:
            await busy.send_all(get())
            await asked.wait()
            front.stop.set()
            assert await idle.receive_some() == b""
            go_on.set()
            raw = b"".join([part async for part in busy])
        assert raw.endswith(b"done")
        assert b"connection: close" in raw


async def test_at_a_shutdown_a_stream_that_says_nothing_is_not_waited_for() -> None:
    async def handler(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(CHUNKED + b"2\r\nxx\r\n")
        await trio.sleep_forever()

    async with relay_to(handler) as front:
        reader = await trio.open_tcp_stream(*front.address)
        async with reader:
            await reader.send_all(get())
            raw = b""
            while not raw.endswith(b"xx\r\n"):
                raw += await reader.receive_some()
            front.stop.set()
            # Below the graceful timeout (5 s here), at which all is cut.
            with trio.fail_after(4):
                assert await reader.receive_some() == b""


# Much of it


async def test_megabytes_pass_both_ways_whole_and_through_a_reader_that_is_slow() -> None:
    size = 3 * 1024 * 1024

    async def handler(stream: trio.SocketStream) -> None:
        parser = h11.Connection(h11.SERVER)
        found = await next_request(parser, stream)
        assert found is not None
        await stream.send_all(CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(found.body), found.body))

    body = bytes(range(256)) * (size // 256)
    async with relay_to(handler) as front:
        head, got = await front.ask(request(b"POST", b"/", b"Content-Length: %d" % size, body=body))
    assert head.status_code == 200
    assert got == body


async def test_of_a_reader_that_is_slow_little_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_path, "_SLOW_S", 0.0)  # whoever lets a piece wait at all
    size = 16 << 20
    held: list[int] = []

    async with (
        relay_to(answers(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))) as front,
        await trio.open_tcp_stream(*front.address) as stream,
    ):
        await stream.send_all(get())
        got = 0
        while got < size:
            # It waits for this reader, who has not read what was sent so far.
            await trio.testing.wait_all_tasks_blocked(0.005)
            held += [len(one.delivery.unsent) for one in front.relay.watch.all() if one.delivery is not None]  # type: ignore[attr-defined]
            for _ in range(64):
                got += len(await stream.receive_some(65536))
                if got >= size:
                    break
    assert max(held) > slow_path._SLOW_BYTES
    assert 0 < max(held[1:]) <= slow_path._SLOW_BYTES


def _read_whole(parser: h11.Connection) -> None:
    while not isinstance(parser.next_event(), h11.EndOfMessage):
        pass


async def _drained(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass
