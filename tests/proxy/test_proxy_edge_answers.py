"""Previews that answer with malice: whatever they send is an answer, or one sentence, in bounded time and memory."""

from __future__ import annotations

import gzip
import resource
import zlib

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from proxy_kit import GET, answers, client, ok, upstream

from preview.errors import UpstreamFailed
from preview.proxy import ProxyRequest, returned_headers

MIB = 1024 * 1024

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status with a sign": b"HTTP/1.1 +200 OK\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nxx",
    "another encoding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a chunk larger than all": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\n",
    "a chunk that is longer than it says": CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n",
    "NUL in a field": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a bare carriage return in a field": b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 0\r\n\r\n",
    "a field without a name": b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX : b\r\nContent-Length: 0\r\n\r\n",
    "a name that is no token": b"HTTP/1.1 200 OK\r\nX\xff: b\r\nContent-Length: 0\r\n\r\n",
    "a folded line first": b"HTTP/1.1 200 OK\r\n X: b\r\nContent-Length: 0\r\n\r\n",
    "a head that never ends": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000,
    "one field that never ends": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
    "a status line that never ends": b"HTTP/1.1 200 " + b"y" * 300_000,
    "a trailer that never ends": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 40_000,
    "less than it says": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxx",
    "an end in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxx",
    "another coding than it says": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\nxx",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200,
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_a_malformed_answer_is_upstream_failed(what: str) -> None:
    async with upstream(answers(MALFORMED[what], close=True)) as server, client(proxy_timeout_s=5) as preview:
        with pytest.raises(UpstreamFailed):
            await preview.send(server.address, GET)


async def test_any_bytes_are_an_answer_or_a_failure() -> None:
    heads = [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", CHUNKED]
    tails = [b"", b"\0", b"\r", b"\n", b"\r\n", b":", b"a:b\r\n\r\n", b"0\r\n\r\n", b"\xff" * 9, b"1\r\nx\r\n"]
    for head in heads:
        for tail in tails:
            async with upstream(answers(head + tail, close=True)) as server, client(proxy_timeout_s=5) as preview:
                try:
                    answer = await preview.send(server.address, GET)
                except UpstreamFailed:
                    continue
            assert not any(set("\r\n\0") & set(name + value) for name, value in answer.headers)


async def test_an_answer_with_both_lengths_is_read_by_its_chunks_and_its_connection_ends() -> None:
    payload = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    async with upstream(answers(payload)) as server, client() as preview:
        answer = await preview.send(server.address, GET)
        await preview.send(server.address, GET)
        assert (answer.body, server.connections) == (b"hello", 2)


@pytest.mark.parametrize("first", ["GET", "HEAD", "POST"])
async def test_an_answer_that_nobody_asked_for_is_never_taken_for_that_of_the_next_request(first: str) -> None:
    """Response queue poisoning: two answers to one request."""
    poison = ok(b"poison")
    both = ok(b"") + poison
    sent = 0

    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        nonlocal sent
        sent += 1
        await stream.send_all(both if sent == 1 else ok(b"honest"))

    async with upstream(handler) as server, client() as preview:
        await preview.send(server.address, ProxyRequest(first, "/"))
        assert (await preview.send(server.address, GET)).body == b"honest"


async def test_interim_answers_without_end_are_cut_and_hold_up_nobody() -> None:
    async def flood(stream: trio.SocketStream, request: bytes) -> None:
        if b"/honest" in request:
            await stream.send_all(ok(b"honest"))
            return
        while True:
            await stream.send_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100)

    async with upstream(flood) as server, client() as preview, trio.open_nursery() as nursery:
        cut = trio.Event()

        async def ask() -> None:
            with pytest.raises(UpstreamFailed, match="more than 32 interim answers"):
                await preview.send(server.address, GET)
            cut.set()

        nursery.start_soon(ask)
        answer = await preview.send(server.address, ProxyRequest("GET", "/honest"), timeout_s=5)
        assert answer.body == b"honest"
        await cut.wait()


async def test_a_switch_of_protocols_that_nobody_asked_for_carries_nothing_on() -> None:
    payload = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + b"x" * 100
    async with upstream(answers(payload)) as server, client(proxy_timeout_s=2) as preview:
        with pytest.raises(UpstreamFailed):
            await preview.send(server.address, GET)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_content_where_there_is_none_ends_the_connection(status: str) -> None:
    payload = f"HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\n".encode() + b"poison"
    async with upstream(answers(payload)) as server, client() as preview:
        for _ in range(2):
            assert (await preview.send(server.address, GET)).body == b""
        assert server.connections == 2


def layers(content: bytes, count: int) -> bytes:
    for _ in range(count):
        content = gzip.compress(content, 9)
    return content


@pytest.mark.parametrize("count", [2, 3, 20, 1000])
async def test_codings_around_codings_are_refused(count: int) -> None:
    bomb = layers(b"\0" * (10 * MIB), min(count, 3))
    payload = ok(bomb, "Content-Encoding: " + ", ".join(["gzip"] * count))
    async with upstream(answers(payload)) as server, client(proxy_response_bytes=MIB) as preview:
        with pytest.raises(UpstreamFailed):
            await preview.send(server.address, GET)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_does_not_take_more_memory_than_the_limit_and_a_little(coding: str) -> None:
    content = b"\0" * (200 * MIB)
    bomb = gzip.compress(content, 1) if coding == "gzip" else zlib.compress(content, 1)
    del content
    async with upstream(answers(ok(bomb, f"Content-Encoding: {coding}"))) as server:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with client(proxy_response_bytes=MIB) as preview:
            with pytest.raises(UpstreamFailed, match="larger"):
                await preview.send(server.address, GET)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 32 * 1024


async def test_a_coding_that_is_not_known_is_content_as_it_is() -> None:
    async with upstream(answers(ok(b"as it is", "Content-Encoding: x-own"))) as server, client() as preview:
        assert (await preview.send(server.address, GET)).body == b"as it is"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "where", ["http://169.254.169.254/latest", "file:///etc/passwd", "//elsewhere/", "http://u:p@127.0.0.1:1/", "/\\x"]
)
async def test_no_redirect_is_followed_wherever_it_leads(status: int, where: str) -> None:
    payload = f"HTTP/1.1 {status} Go\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode()
    async with upstream(answers(payload)) as server, client() as preview:
        answer = await preview.send(server.address, GET)
        assert (answer.status, dict(answer.headers)["Location"], len(server.requests)) == (status, where, 1)


async def test_the_request_asks_for_no_coding() -> None:
    async with upstream(answers(ok(b""))) as server, client() as preview:
        await preview.send(server.address, GET)
        assert b"Accept-Encoding: identity" in server.requests[0]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["Connection", "X-A", "Keep-Alive", "TE", "Set-Cookie", "Upgrade"]), st.text()))
)
def test_no_hop_by_hop_field_comes_back_however_it_is_written(fields: list[tuple[str, str]]) -> None:
    kept = {name.lower() for name, _ in returned_headers(fields)}
    named = {part.strip().lower() for name, value in fields if name == "Connection" for part in value.split(",")}
    assert not kept & {"connection", "keep-alive", "te", "upgrade"}
    assert not kept & named
