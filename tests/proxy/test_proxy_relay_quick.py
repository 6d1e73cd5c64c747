"""Requests like the one before, carried while the connection's task rests; and all that makes it get up."""

from __future__ import annotations

import re
import socket

import pytest
import trio
import trio.testing
from proxy_relay_kit import Front, Handler, HeldSecond, Seen, get, ok, recording, relay_to, request
from structlog.testing import capture_logs

from preview.http.relay.head_cache import Memo
from preview.proxy.admission import OwnAnswer
from preview.tracing import parent_field, read_parent

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_NEW = re.compile(rb"(x-request-id|date): [^\r]*\r\n")


async def _answer(stream: trio.SocketStream, request: bytes, end: bytes) -> bytes:
    """One answer on a connection that is kept, read until it ends like that."""
    await stream.send_all(request)
    raw = b""
    while not raw.endswith(end):
        raw += (await stream.receive_some()) or pytest.fail(f"the connection ended behind {raw!r}")
    return raw


async def _known(front: Front) -> trio.SocketStream:
    """A connection whose last request was ``GET /``, with nothing else: the next one like it waits for nobody."""
    stream = await trio.open_tcp_stream(*front.address)
    await _answer(stream, get(b"/first"), b"first")
    return stream


def _then(*pieces: bytes, closes: bool = False) -> Handler:
    """A server that answers each connection's first request plainly, and the next ones with these pieces."""

    async def serve(stream: trio.SocketStream) -> None:
        came = b""
        while True:
            while b"\r\n\r\n" not in came:
                part = await stream.receive_some()
                if not part:
                    return
                came += part
            head, _, came = came.partition(b"\r\n\r\n")
            if b" /first " in head:
                await stream.send_all(ok(b"first"))
                continue
            for piece in pieces:
                await stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked(0.005)
            if closes:
                return

    return serve


ANSWERS = {
    "whole": ok(b"hello"),
    "empty": ok(),
    "dated and numbered": ok(b"hello", b"Date: Sun, 06 Nov 1994 08:49:37 GMT", b"X-Request-Id: its-own-number"),
    "in chunks": CHUNKED + b"5;x=y\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 7\r\n\r\n',
    "another's address": ok(b"hello", b"Location: http://127.0.0.1:1/x", b"Set-Cookie: a=b; Domain=x.localhost"),
    "a cookie of the service's": ok(b"hello", b"Set-Cookie: preview_access=x", b"Connection: X-Hop", b"X-Hop: 1"),
}
REQUESTS = {
    "plain": get(b"/?a=b%20c"),
    "with fields": get(b"/", b"Cookie: a=b; preview_access=x", b"X-Forwarded-For: 1.2.3.4", b"Accept: */*", b"x-A: 1"),
    "hop by hop": get(b"/", b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"TE: trailers"),
    "with content": request(b"POST", b"/", b"Content-Length: 5", body=b"hello"),
    "without any": request(b"PUT", b"/", b"Content-Length: 0"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("what", REQUESTS)
async def test_the_second_of_two_equal_requests_comes_and_is_answered_as_the_first(what: str, answer: str) -> None:
    seen: list[Seen] = []
    length = len(ANSWERS[answer].partition(b"\r\n\r\n")[2])
    async with relay_to(recording(seen, ANSWERS[answer])) as front:
        async with await trio.open_tcp_stream(*front.address) as stream:
            raw = []
            for _ in range(3):
                await stream.send_all(REQUESTS[what])
                got = await stream.receive_some()
                while b"\r\n\r\n" not in got or (length and not got.endswith((b"hello", b"0\r\n\r\n"))):
                    got += await stream.receive_some()
                raw.append(_NEW.sub(b"", got))
        assert raw[0] == raw[1] == raw[2]
        assert (front.door.asked, front.door.asked_again) == (1, 2)
        assert front.connections["all"] == 1
        numbers = [one["x-request-id"] for one in seen]
        assert len(set(numbers)) == 3
        told = {(one.method, one.target, one.body) for one in seen}
        assert len(told) == 1
        fields = [sorted((name, value) for name, value in one.headers if name != "x-request-id") for one in seen]
        assert fields[0] == fields[1] == fields[2]
        assert len(set(front.told)) == 1
        assert front.door.held == 0


@pytest.mark.parametrize("given", [b"", b"x", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
async def test_a_traced_preview_gets_the_bits_of_the_request_id_or_the_clients_valid_traceparent(given: bytes) -> None:
    seen: list[Seen] = []
    fields = [b"Traceparent: " + given] if given else []
    async with relay_to(recording(seen, ok(b"hello"))) as front:
        front.door.is_traced = True
        async with await trio.open_tcp_stream(*front.address) as stream:
            for _ in range(3):
                await _answer(stream, get(b"/", *fields), b"hello")
            await _answer(stream, get(b"/", b"X-Request-Id: mine", *fields), b"hello")
    assert front.door.asked_again == 2
    for one in seen:
        parents = [value for name, value in one.headers if name == "traceparent"]
        number = (one["x-request-id"] or "").encode()
        assert len(parents) == 1
        if len(given) > 1:
            assert parents == [given.decode()]
        elif number == b"mine":
            assert read_parent(parents[0].encode()) is not None
        else:
            assert parents == [parent_field(number).decode()]


async def test_another_target_goes_where_it_says() -> None:
    seen: list[Seen] = []
    handler = recording(seen, lambda one: ok(one.target.encode() + b"!"))
    async with relay_to(handler) as front, await trio.open_tcp_stream(*front.address) as stream:
        for target in (b"/", b"/a", b"/a?b=c"):
            assert (await _answer(stream, get(target), b"!")).endswith(b"\r\n\r\n" + target + b"!")
    assert [head.target for head in front.door.heads] == [b"/", b"/a", b"/a?b=c"]


@pytest.mark.parametrize(
    "other",
    [
        get(b"/", b"Cookie: c=d"),
        request(b"OPTIONS", b"/"),
        get(b"/").replace(b"preview_x", b"preview_y"),
        get(b"/", b"Connection: close"),
        get(b"/").replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"\r\n" + get(b"/"),
        get(b"/") + get(b"/"),
        request(b"GET", b"/", b"X-Request-Id: sane-number"),
    ],
)
async def test_a_request_that_differs_in_anything_else_is_asked_for_anew(other: bytes) -> None:
    async with relay_to(_then(ok(b"second"))) as front, await _known(front) as stream:
        await _answer(stream, other, b"second")
        assert (front.door.asked, front.door.asked_again) >= (2, 0)


async def test_who_may_not_any_more_is_not_let_in_again() -> None:
    async with relay_to(_then(ok(b"second"))) as front, await _known(front) as stream:
        front.door.own = OwnAnswer(403, [], b"go away")
        assert (await _answer(stream, get(), b"go away")).startswith(b"HTTP/1.1 403")
        # Nothing of it is kept.
        assert len(front.relay.known) == 0


HELD_UP = {
    "in two pieces": (b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\nhello"),
    "its content in pieces": (ok(b"hello")[:-4], b"el", b"lo"),
    "its chunks in pieces": (CHUNKED + b"5\r\nhe", b"llo\r\n0\r", b"\n\r\n"),
    "behind an interim one": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", ok(b"hello")),
    "together with an interim one": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + ok(b"hello"),),
}


@pytest.mark.parametrize("what", HELD_UP)
async def test_an_answer_that_comes_bit_by_bit_comes_whole(what: str) -> None:
    async with relay_to(_then(*HELD_UP[what])) as front, await _known(front) as stream:
        for _ in range(3):
            raw = await _answer(stream, get(), b"hello" if b"chunked" not in HELD_UP[what][0] else b"0\r\n\r\n")
            assert b"hello" in raw.replace(b"\r\n3\r\n", b"")
        assert front.connections["all"] == 1
        assert front.door.asked_again == 3
        assert [one[1] for one in front.told] == [200] * len(front.told)


async def test_an_answer_without_a_length_ends_with_its_connection_and_leaves_the_client_s() -> None:
    whole = (b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    async with relay_to(_then(*whole, closes=True)) as front, await _known(front) as stream:
        for _ in range(2):
            raw = await _answer(stream, get(), b"0\r\n\r\n")
            assert b"3\r\nhel\r\n2\r\nlo\r\n" in raw


async def test_megabytes_come_whole_to_a_reader_that_is_slow() -> None:
    body = bytes(range(256)) * 16 * 1024
    async with relay_to(_then(ok(body))) as front, await _known(front) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await stream.send_all(get())
        await trio.testing.wait_all_tasks_blocked(0.05)
        raw = b""
        while not raw.endswith(body[-256:]) or len(raw) < len(body):
            raw += await stream.receive_some(65536)
        assert raw.endswith(body)
        assert front.told[-1:] != [("GET", 200, 0)]


async def test_an_idle_connection_that_was_closed_on_a_request_is_replaced_where_that_may_be_repeated() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"first"))
        await stream.receive_some()

    async with relay_to(serve) as front, await _known(front) as stream:
        for _ in range(2):
            assert (await _answer(stream, get(), b"first")).startswith(b"HTTP/1.1 200")
        assert front.door.asked_again == 2
        assert front.connections["all"] == 3
    async with relay_to(serve) as front, await trio.open_tcp_stream(*front.address) as stream:
        post = request(b"POST", b"/", b"Content-Length: 1", body=b"x")
        await _answer(stream, post, b"first")
        raw = await _answer(stream, post, b"complete.")
        assert (front.door.asked, front.door.asked_again) == (1, 1)
        assert front.connections["all"] == 1
    assert raw.startswith(b"HTTP/1.1 502 ")


BROKEN = {
    "no answer": (b"HTTP/1.1 20 OK\r\n\r\n",),
    "no HTTP": (b"what?\r\n\r\n",),
    "no first chunk": (CHUNKED + b"zz\r\n",),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_an_answer_that_is_none_is_a_502(what: str) -> None:
    async with relay_to(_then(*BROKEN[what])) as front:
        async with await _known(front) as stream:
            await stream.send_all(get())
            raw = b"".join([part async for part in stream])
        assert raw.startswith(b"HTTP/1.1 502 ")
        assert front.door.refused[0].code == "upstream_failed"
        await trio.testing.wait_all_tasks_blocked(0.005)
        assert [one[:2] for one in front.told] == [("GET", 200), ("GET", 502)]


@pytest.mark.parametrize("last", [b"5\r\nhe", b"2\r\nhe\r\nzz\r\n"])
async def test_an_answer_that_breaks_off_is_seen_to_have_broken_off(last: bytes) -> None:
    async with relay_to(_then(CHUNKED + b"1\r\nx\r\n", last, closes=True)) as front, await _known(front) as stream:
        await stream.send_all(get())
        raw = b"".join([part async for part in stream])
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert not raw.endswith(b"0\r\n\r\n")


async def test_two_answers_to_one_request_end_the_connection_to_the_preview() -> None:
    async with relay_to(_then(ok(b"one") + ok(b"two"))) as front, await _known(front) as stream:
        for _ in range(2):
            assert (await _answer(stream, get(), b"one")).count(b"HTTP/1.1") == 1
        assert front.connections["all"] == 2


async def test_a_preview_that_does_not_answer_in_time_is_told_of_as_that() -> None:
    async with relay_to(_then(), proxy_timeout_s=0.3) as front:
        async with await _known(front) as stream:
            await stream.send_all(get())
            raw = b"".join([part async for part in stream])
        assert raw.startswith(b"HTTP/1.1 504 ")
        await trio.testing.wait_all_tasks_blocked(0.005)
        assert [one[1] for one in front.told] == [200, 504]
        assert front.door.held == 0


async def test_a_client_that_goes_ends_the_request_at_the_preview_and_is_told_of() -> None:
    second = HeldSecond(b"")
    async with relay_to(second.serve) as front:
        async with await _known(front) as stream:
            await stream.send_all(get())
            await second.asked.wait()
        await second.ended.wait()
        second.go_on.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert front.door.asked_again == 1
        # As on the ordinary way, where the log's line has no status.
        assert front.told == [("GET", 200, 5), ("GET", 0, 0)]
        assert front.door.held == 0


async def test_a_client_that_goes_ahead_of_its_first_answer_is_told_of_too() -> None:
    asked = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        asked.set()
        await stream.receive_some()

    async with relay_to(serve) as front:
        async with await trio.open_tcp_stream(*front.address) as stream:
            await stream.send_all(get())
            await asked.wait()
        while not front.told:
            await trio.testing.wait_all_tasks_blocked(0.001)
        assert front.told == [("GET", 0, 0)]


async def test_a_request_that_comes_ahead_of_the_answer_waits_for_its_turn() -> None:
    go_on = trio.Event()
    came: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"first"))
        for _ in range(2):
            came.append(await stream.receive_some())
            await go_on.wait()
            await stream.send_all(ok(b"more!"))

    async with relay_to(serve) as front, await _known(front) as stream:
        await stream.send_all(get(b"/2"))
        while not came:
            await trio.testing.wait_all_tasks_blocked(0.001)
        await stream.send_all(get(b"/3"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert len(came) == 1
        go_on.set()
        raw = b""
        while raw.count(b"more!") < 2:
            raw += await stream.receive_some()
        assert [one.split(b" ")[1] for one in came] == [b"/2", b"/3"]


async def test_at_a_shutdown_a_request_under_way_is_answered_and_the_connection_ends() -> None:
    second = HeldSecond(ok(b"done"))
    async with relay_to(second.serve) as front, await _known(front) as stream:
        await stream.send_all(get())
        await second.asked.wait()
        front.stop.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        second.go_on.set()
        raw = b"".join([part async for part in stream])
        assert raw.endswith(b"done")
        assert b"connection: close" in raw


async def test_what_comes_on_an_idle_connection_to_a_preview_closes_it_at_once() -> None:
    say, ended = trio.Event(), trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        for _ in range(2):
            await stream.receive_some()
            await stream.send_all(ok(b"first"))
        await say.wait()
        await stream.send_all(ok(b"nobody asked"))
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        ended.set()

    async with relay_to(serve) as front, await _known(front) as stream:
        await _answer(stream, get(), b"first")
        assert front.relay.pool.idle == 1
        say.set()
        await ended.wait()
        assert front.relay.pool.idle == 0


async def test_a_mistake_of_ours_ends_one_connection_and_nobody_else_s() -> None:
    async with relay_to(_then(ok(b"second"))) as front:
        async with await _known(front) as stream, await _known(front) as other:
            (known,) = front.relay.known._young.values()
            known.again = lambda _: 1 / 0  # type: ignore[assignment,return-value]
            with capture_logs() as logged:
                await stream.send_all(get())
                assert await stream.receive_some() == b""
                await trio.testing.wait_all_tasks_blocked(0.005)
            assert [one["event"] for one in logged] == ["connection failed"]
            known.again = front.door.again
            assert len(await _answer(other, get(b"/first"), b"first"))
        assert front.door.held == 0


def test_what_is_not_asked_for_is_forgotten_and_no_more_is_kept_than_allowed() -> None:
    memo: Memo[int, str] = Memo(4)
    memo.put(0, "used")
    for number in range(1, 20):
        memo.put(number, "once")
        assert memo.get(0) == "used"
        assert len(memo) <= 4 + 1
    memo.age()
    assert memo.get(0) == "used"
    memo.age()
    memo.age()
    assert (memo.get(0), len(memo)) == (None, 0)
    memo.put(1, "x")
    memo.drop(1)
    assert memo.get(1) is None
