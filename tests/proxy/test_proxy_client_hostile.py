"""Previews that answer at the wrong time or without an end: a call has its answer, or one sentence, within bounds."""

from __future__ import annotations

import gzip
import resource

import pytest
import trio
from proxy_kit import GET, answers, client, ok, upstream

from preview.errors import UpstreamFailed, UpstreamTimeout
from preview.proxy import ProxyRequest

MIB = 1024 * 1024
# More than both sockets' buffers hold.
LARGE = ProxyRequest("POST", "/", body=b"x" * (9 * MIB))


async def test_a_call_has_the_answer_of_a_preview_that_reads_no_more_of_it() -> None:
    async def early(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(ok(b"too much"))
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery, client() as preview:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, early, listeners)
        address = listeners[0].socket.getsockname()
        with trio.fail_after(60):
            answer = await preview.send(address, LARGE)
        assert answer.body == b"too much"
        assert preview.pool.idle == 0
        nursery.cancel_scope.cancel()


async def test_what_is_left_of_a_large_call_is_sent_while_the_answer_is_awaited() -> None:
    async def handler(stream: trio.SocketStream, request: bytes) -> None:
        await stream.send_all(ok(b"%d" % len(request.partition(b"\r\n\r\n")[2])))

    async with upstream(handler) as server, client() as preview:
        for _ in range(2):
            assert (await preview.send(server.address, LARGE)).body == b"%d" % (9 * MIB)
        assert server.connections == 1


async def test_a_large_call_that_nobody_reads_is_a_timeout() -> None:
    async def deaf(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery, client() as preview:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, deaf, listeners)
        with pytest.raises(UpstreamTimeout):
            await preview.send(listeners[0].socket.getsockname(), LARGE, timeout_s=0.2)
        nursery.cancel_scope.cancel()


async def test_what_comes_behind_the_end_of_a_coded_answer_is_bounded() -> None:
    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x"))
        while True:
            await stream.send_all(b"x" * MIB)

    async with upstream(handler) as server, client(proxy_response_bytes=MIB) as preview:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(UpstreamFailed, match="larger"):
            await preview.send(server.address, GET, timeout_s=5)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 16 * 1024


async def test_one_coding_within_another_costs_no_memory() -> None:
    inner = gzip.compress(gzip.compress(b"x") + b"\0" * (50 * MIB), 1)
    payload = ok(inner, "Content-Encoding: gzip, gzip")
    async with upstream(answers(payload)) as server, client() as preview:
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(UpstreamFailed, match="more than one"):
            await preview.send(server.address, GET, timeout_s=5)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 16 * 1024


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_without_content_may_say_a_coding(coding: str, method: str) -> None:
    async with upstream(answers(ok(b"", f"Content-Encoding: {coding}"))) as server, client() as preview:
        assert (await preview.send(server.address, ProxyRequest(method, "/"))).body == b""
