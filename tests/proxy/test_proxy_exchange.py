"""One request and its answer on a connection, as calls and the ordinary way of browsers make it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from proxy_kit import Handler, answers, ok, upstream
from proxy_kit import Upstream as Server

from preview.errors import InvalidRequest, PreviewUnavailable, ServiceShort, UpstreamFailed
from preview.proxy.exchange import UpstreamExchange, open_exchange
from preview.proxy.http1 import CHUNKED, read_fields, request_head
from preview.proxy.pool import Pool, connect, open_pool

HOST = (b"Host", b"a")


@asynccontextmanager
async def opened(handler: Handler) -> AsyncIterator[tuple[Server, Pool]]:
    async with upstream(handler) as server, open_pool() as pool:
        yield server, pool


async def start(one: UpstreamExchange, method: str, length: int | None, *, takes_trailers: bool = False) -> None:
    head = request_head(method, b"/", [HOST], length, takes_trailers=takes_trailers)
    await one.start(head, length or 0, is_last=not length)
    await one.drain()


async def put(one: UpstreamExchange, *content: bytes, is_last: bool = False) -> bool:
    one.send_content(content, is_last=is_last)
    return await one.drain()


async def content(one: UpstreamExchange) -> bytes:
    pieces = []
    while (piece := await one.read_piece()) is not None:
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("length", [6, CHUNKED])
async def test_content_that_is_sent_in_pieces_leaves_the_connection_for_the_next_request(length: int) -> None:
    async with opened(answers(ok(b"x"))) as (server, pool):
        for _ in range(2):
            async with open_exchange(pool, server.address, 1, "POST") as one:
                await start(one, "POST", length)
                assert await put(one, b"abc")
                assert await put(one, b"def")
                assert await put(one, is_last=True)
                assert (await one.read_head()).status == 200
                assert await content(one) == b"x"
        assert server.connections == 1
        framed = b"abcdef" if length == 6 else b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
        assert [request.partition(b"\r\n\r\n")[2] for request in server.requests] == [framed, framed]


async def test_a_connection_on_which_content_is_left_to_send_is_not_used_again() -> None:
    async def early(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"enough"))
        assert await stream.receive_some() == b""
        gone.set()

    gone = trio.Event()
    async with trio.open_nursery() as nursery, open_pool() as pool:
        (listener,) = await nursery.start(partial(trio.serve_tcp, early, 0, host="127.0.0.1"))
        async with open_exchange(pool, listener.socket.getsockname(), 1, "POST") as one:
            await start(one, "POST", 100)
            assert (await one.read_head()).status == 200
            assert await content(one) == b"enough"
        assert pool.idle == 0
        await gone.wait()
        nursery.cancel_scope.cancel()


async def test_content_of_another_length_than_was_said_never_reaches_a_preview_s_next_request() -> None:
    async with opened(answers(ok(b"x"))) as (server, pool):
        async with open_exchange(pool, server.address, 1, "POST") as one:
            await start(one, "POST", 3)
            with pytest.raises(InvalidRequest, match="longer than its Content-Length"):
                await put(one, b"abcGET / HTTP/1.1\r\n\r\n")
        async with open_exchange(pool, server.address, 1, "POST") as one:
            await start(one, "POST", 3)
            await put(one, b"ab")
            with pytest.raises(InvalidRequest, match="shorter than its Content-Length"):
                await put(one, is_last=True)
        assert pool.idle == 0


async def test_interim_answers_come_ahead_and_trailers_behind() -> None:
    payload = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"
    )
    async with opened(answers(payload)) as (server, pool):
        async with open_exchange(pool, server.address, 1, "GET") as one:
            await start(one, "GET", None, takes_trailers=True)
            early = await one.read_head()
            assert (early.status, early.fields) == (103, [(b"link", b"</a>")])
            assert (await one.read_head()).status == 200
            assert one.fields_as_written() == [(b"Transfer-Encoding", b"chunked"), (b"X-One", b"1")]
            assert await content(one) == b"abc"
            assert one.body.trailers == [(b"x-sum", b"7")]
        assert pool.idle == 1
        assert b"TE: trailers\r\nConnection: te\r\n" in server.requests[0]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_connection_with_content_behind_an_answer_that_has_none_is_not_used_again(method: str) -> None:
    async with opened(answers(b"HTTP/1.1 204 No Content\r\n\r\nleft over")) as (server, pool):
        async with open_exchange(pool, server.address, 1, method) as one:
            await start(one, method, None)
            await one.read_head()
            assert one.take_rest() == []
            assert await content(one) == b""
        assert pool.idle == 0


async def test_content_until_the_close_ends_with_the_connection() -> None:
    async with opened(answers(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)) as (server, pool):
        async with open_exchange(pool, server.address, 1, "GET") as one:
            await start(one, "GET", None)
            await one.read_head()
            assert await content(one) == b"all of it"
        assert pool.idle == 0


async def test_a_preview_that_reads_no_more_may_have_answered() -> None:
    async def hangs_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"no", "Connection: close"))
        await stream.send_eof()
        await sent.wait()

    sent = trio.Event()
    async with trio.open_nursery() as nursery, open_pool() as pool:
        (listener,) = await nursery.start(partial(trio.serve_tcp, hangs_up, 0, host="127.0.0.1"))
        async with open_exchange(pool, listener.socket.getsockname(), 1, "POST") as one:
            await start(one, "POST", CHUNKED)
            assert (await one.read_head()).status == 200
            assert await content(one) == b"no"
            sent.set()
            with trio.fail_after(60):
                while await put(one, b"x" * 65536):
                    await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_a_request_that_was_not_sent_has_no_answer() -> None:
    async with opened(answers(b"")) as (server, pool):
        async with open_exchange(pool, server.address, 1, "GET") as one:
            with pytest.raises(RuntimeError, match="nothing was sent"):
                await one.read_head()
        assert server.connections == 0


async def test_a_preview_that_does_not_accept_in_time_is_unavailable() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        async with await trio.open_tcp_stream(*full.getsockname()):
            with pytest.raises(PreviewUnavailable, match="does not accept"), trio.fail_after(60):
                await connect(full.getsockname(), timeout_s=0.01)


async def test_a_service_without_descriptors_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", none_left)
    with pytest.raises(ServiceShort, match="Too many open files"):
        await connect(("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("method", "target", "field"),
    [
        ("GET /", b"/", (b"X", b"1")),
        ("GET", b"/ HTTP/1.1\r\nX: 1\r\n\r\n", (b"X", b"1")),
        ("GET", b"/a b", (b"X", b"1")),
        ("GET", b"", (b"X", b"1")),
        ("GET", b"/", (b"X", b"1\r\nY: 2")),
        ("GET", b"/", (b"X", b"1\r\n\r\nGET /b HTTP/1.1")),
        ("GET", b"/", (b"X", b"1\nY: 2")),
        ("GET", b"/", (b"X: 1\r\nY", b"2")),
        ("GET", b"/", (b"X ", b"1")),
        ("GET", b"/", (b"", b"1")),
        ("GET", b"/", (b"X", b"\0")),
        ("G\u0100T", b"/", (b"X", b"1")),
    ],
)
def test_what_could_be_read_as_something_else_is_not_written(
    method: str, target: bytes, field: tuple[bytes, bytes]
) -> None:
    with pytest.raises(UpstreamFailed, match="cannot be forwarded"):
        request_head(method, target, [field], None)


def test_a_head_says_its_framing_once_whatever_the_fields_say() -> None:
    fields = [HOST, (b"Content-Length", b"1"), (b"transfer-encoding", b"x"), (b"TE", b"x"), (b"connection", b"x")]
    assert request_head("HEAD", b"/", fields, 7) == (
        b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nConnection: close\r\n\r\n"
    )


@given(st.lists(st.tuples(st.binary(max_size=6), st.binary(max_size=9)), max_size=4))
def test_any_head_that_is_written_is_read_strictly_as_the_same_fields(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        head = request_head("GET", b"/", fields, None)
    except UpstreamFailed:
        return
    line, _, block = head.removesuffix(b"\r\n\r\n").partition(b"\r\n")
    assert line == b"GET / HTTP/1.1"
    kept = [(name.lower(), value.strip(b" \t")) for name, value in fields]
    framing = {b"connection", b"content-length", b"te", b"transfer-encoding"}
    assert read_fields(block) == [field for field in kept if field[0] not in framing]
