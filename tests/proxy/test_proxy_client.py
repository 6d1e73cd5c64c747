from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing
from proxy_kit import GET, Handler, answers, client, ok, upstream

from preview.errors import PreviewUnavailable, UpstreamFailed, UpstreamTimeout
from preview.proxy import PreviewClient, ProxyRequest
from preview.settings import Settings, load_settings


@pytest.fixture
def unused_address() -> Iterator[tuple[str, int]]:
    """Bound but not listening: connecting is refused, and nobody else gets the port meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()


async def test_an_answer_comes_back_with_status_headers_and_body() -> None:
    payload = ok(b"hello", "Content-Type: text/plain", "Connection: keep-alive", "Set-Cookie: a=1", "Set-Cookie: b=2")
    async with upstream(answers(payload)) as server, client() as preview:
        answer = await preview.send(server.address, GET)
    assert (answer.status, answer.body) == (200, b"hello")
    assert answer.headers == [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    assert answer.elapsed_ms > 0


async def test_the_request_arrives_as_it_was_checked() -> None:
    request = ProxyRequest("POST", "/a/./b%2Fc", "q=%20", [("X-One", "ü"), ("Authorization", "Bearer x")], b"content")
    async with upstream(answers(ok(b""))) as server, client() as preview:
        await preview.send(server.address, request)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    assert line == b"POST /a/./b%2Fc?q=%20 HTTP/1.1"
    assert body == b"content"
    assert set(fields) == {
        f"Host: 127.0.0.1:{server.address[1]}".encode(),
        "X-One: ü".encode(),
        b"Authorization: Bearer x",
        b"Accept-Encoding: identity",
        b"Content-Length: 7",
    }


async def test_a_request_without_content_says_so_where_content_is_usual() -> None:
    async with upstream(answers(ok(b""))) as server, client() as preview:
        await preview.send(server.address, ProxyRequest("POST", "/"))
        await preview.send(server.address, GET)
        assert b"Content-Length: 0" in server.requests[0]
        assert b"Content-Length" not in server.requests[1]


async def test_a_redirect_is_returned_and_not_followed() -> None:
    payload = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with upstream(answers(payload)) as server, client() as preview:
        answer = await preview.send(server.address, GET)
    assert (answer.status, answer.headers) == (302, [("Location", "http://127.0.0.1:1/")])


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with upstream(answers(ok(b"direct"))) as server, client() as preview:
        assert (await preview.send(server.address, GET)).body == b"direct"


async def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request() -> None:
    async with upstream(answers(ok(b"", "Set-Cookie: secret=1"))) as server, client() as preview:
        await preview.send(server.address, GET)
        await preview.send(server.address, GET)
        assert b"ookie" not in server.requests[1]


async def test_connections_are_kept_and_used_again() -> None:
    async with upstream(answers(ok(b"x"))) as server, client() as preview:
        for _ in range(3):
            await preview.send(server.address, GET)
        assert server.connections == 1


async def test_a_connection_to_one_process_is_not_used_for_the_next() -> None:
    async with upstream(answers(ok(b"x"))) as server, client() as preview:
        for process, connections in ((1, 1), (1, 1), (2, 2)):
            await preview.send(server.address, GET, process=process)
            assert server.connections == connections
        assert {request.partition(b"Host: ")[2].split(b"\r\n")[0] for request in server.requests} == {
            f"127.0.0.1:{server.address[1]}".encode()
        }


async def test_nobody_there_is_preview_unavailable(unused_address: tuple[str, int]) -> None:
    async with client() as preview:
        with trio.fail_after(60), pytest.raises(PreviewUnavailable):
            await preview.send(unused_address, GET)


async def test_silence_is_a_timeout_and_the_connection_is_closed() -> None:
    gone = trio.Event()

    async def silent(stream: trio.SocketStream, _: bytes) -> None:
        await stream.receive_some()
        gone.set()

    async with upstream(silent) as server, client(proxy_timeout_s=0.2) as preview:
        with pytest.raises(UpstreamTimeout) as caught:
            await preview.send(server.address, GET)
        await gone.wait()
    assert caught.value.details == {"timeout_s": 0.2}


async def test_an_answer_that_drips_for_ever_is_cut_at_the_same_timeout() -> None:
    async def drip(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"1\r\nx\r\n")
            await trio.sleep(0.01)

    async with upstream(drip) as server, client(proxy_timeout_s=0.3) as preview:
        with pytest.raises(UpstreamTimeout):
            await preview.send(server.address, GET)


async def test_an_endless_answer_is_cut_at_the_limit() -> None:
    async def flood(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    async with upstream(flood) as server, client(proxy_response_bytes=1_000_000) as preview:
        with pytest.raises(UpstreamFailed) as caught:
            await preview.send(server.address, GET)
    assert caught.value.details == {"reason": "response_too_large", "limit_bytes": 1_000_000}


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_at_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with (
        upstream(answers(ok(bomb, "Content-Encoding: gzip"))) as server,
        client(proxy_response_bytes=1_000_000) as preview,
    ):
        with pytest.raises(UpstreamFailed, match="larger than 1000000 bytes"):
            await preview.send(server.address, GET)


async def test_an_answer_in_a_coding_that_is_not_undone_comes_as_it_is_and_says_so() -> None:
    async with upstream(answers(ok(b"\x0b\x02\x80text\x03", "Content-Encoding: br"))) as server, client() as preview:
        answer = await preview.send(server.address, GET)
    assert (answer.body, answer.headers) == (b"\x0b\x02\x80text\x03", [("Content-Encoding", "br")])


async def test_a_packed_answer_is_unpacked_and_says_nothing_of_it() -> None:
    payload = ok(gzip.compress(b"text"), "Content-Encoding: gzip")
    async with upstream(answers(payload)) as server, client() as preview:
        answer = await preview.send(server.address, GET)
    assert (answer.body, answer.headers) == (b"text", [])


@pytest.mark.parametrize(
    "payload",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip\r\n\r\nxxxx",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"",
    ],
)
async def test_an_answer_that_is_not_http_or_breaks_off_is_upstream_failed(payload: bytes) -> None:
    async with upstream(answers(payload, close=True)) as server, client() as preview:
        with pytest.raises(UpstreamFailed):
            await preview.send(server.address, ProxyRequest("POST", "/"))


def stale(first: bytes) -> Handler:
    """Answers the first request of the first connection, then hangs up when the second one arrives."""
    seen = 0

    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            await stream.aclose()
        else:
            await stream.send_all(first)

    return handler


async def test_a_safe_request_on_a_stale_connection_is_sent_once_more() -> None:
    async with upstream(stale(ok(b"x"))) as server, client() as preview:
        await preview.send(server.address, GET)
        assert (await preview.send(server.address, GET)).body == b"x"
        assert (len(server.requests), server.connections) == (3, 2)


async def test_an_unsafe_request_on_a_stale_connection_is_not_repeated() -> None:
    async with upstream(stale(ok(b"x"))) as server, client() as preview:
        await preview.send(server.address, GET)
        with pytest.raises(UpstreamFailed):
            await preview.send(server.address, ProxyRequest("POST", "/"))
        assert len(server.requests) == 2


async def test_a_connection_is_not_reused_after_a_server_error() -> None:
    """Uvicorn closes it a moment after the 500 of an unhandled exception, without a word in the answer."""
    failed = ok(b"x").replace(b"200 OK", b"500 Internal Server Error")
    known: set[trio.SocketStream] = set()

    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        if stream in known:
            await stream.aclose()
        else:
            known.add(stream)
            await stream.send_all(failed)

    async with upstream(handler) as server, client() as preview:
        assert (await preview.send(server.address, GET)).status == 500
        assert preview.pool.idle == 0
        assert (await preview.send(server.address, ProxyRequest("POST", "/"))).status == 500
        assert len(server.requests) == 2


async def test_a_fresh_connection_that_breaks_is_not_tried_again() -> None:
    async with upstream(answers(b"", close=True)) as server, client() as preview:
        with pytest.raises(UpstreamFailed):
            await preview.send(server.address, GET)
        assert len(server.requests) == 1


async def test_many_cancelled_requests_leave_the_pool_usable() -> None:
    async def slow_then_fast(stream: trio.SocketStream, request: bytes) -> None:
        if b"/slow" in request:
            await trio.sleep_forever()
        await stream.send_all(ok(b"x"))

    async def abandon(preview: PreviewClient, address: tuple[str, int], after_s: float) -> None:
        with trio.move_on_after(after_s):
            await preview.send(address, ProxyRequest("GET", "/slow"))

    async with upstream(slow_then_fast) as server, client() as preview:
        for _ in range(5):
            async with trio.open_nursery() as nursery:
                for index in range(20):
                    nursery.start_soon(abandon, preview, server.address, index * 0.002)
        for _ in range(20):
            assert (await preview.send(server.address, GET)).body == b"x"


def test_settings_type_is_what_the_client_takes() -> None:
    assert isinstance(load_settings(), Settings)


async def test_idle_connections_are_closed_though_no_request_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.proxy.pool._IDLE_S", 0.05)
    monkeypatch.setattr("preview.proxy.pool._SWEEP_S", 0.05)
    gone = trio.Event()

    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(ok(b"x"))
        assert await stream.receive_some() == b""
        gone.set()

    async with upstream(handler) as server, client() as preview:
        await preview.send(server.address, GET)
        assert preview.pool.idle == 1
        await gone.wait()
        assert preview.pool.idle == 0


async def test_a_connection_that_is_in_use_when_the_client_closes_ends_with_its_request() -> None:
    gone = trio.Event()

    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        await trio.testing.wait_all_tasks_blocked()
        await stream.send_all(ok(b"x"))
        assert await stream.receive_some() == b""
        gone.set()

    async with upstream(handler) as server, trio.open_nursery() as nursery:
        async with client() as preview:
            nursery.start_soon(preview.send, server.address, GET)
            await trio.testing.wait_all_tasks_blocked()
        await gone.wait()
        assert preview.pool.idle == 0
