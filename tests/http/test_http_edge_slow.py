"""Clients that are slow, half gone or too many: each has a bound, and nobody else notices."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from http_raw_kit import Edge, open_edge, parsed
from http_server_kit import ask, connect, open_server, read_to_end, read_until
from hypercorn.config import Config
from quart_trio import QuartTrio

from preview.http.protocol import listening as crowd_module
from preview.http.protocol.listening import ConnectionLimiter, RequestConnection, connection_limit
from preview.http.server import _open_listeners
from preview.settings import load_settings

QUICK = "keep_alive_timeout = 0.3\n"


@asynccontextmanager
async def quick_edge(folder: Path, **changes: Any) -> AsyncIterator[Edge]:
    async with open_edge(folder, config=QUICK, **changes) as edge:
        yield edge


async def trickle(stream: trio.SocketStream, piece: bytes) -> None:
    """Send a piece again and again until the other side has had enough."""
    while True:
        try:
            await stream.send_all(piece)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
        await trio.sleep(0.02)


async def closed_after_s(edge: Edge, begin: bytes, piece: bytes) -> tuple[float, bytes]:
    """How long a client that sends on and on is listened to, and what it is told."""
    begun = trio.current_time()
    got = b""
    async with await connect(edge.address) as stream, trio.open_nursery() as nursery:
        await stream.send_all(begin)
        nursery.start_soon(trickle, stream, piece)
        with suppress(trio.BrokenResourceError):
            got = await read_to_end(stream)
        nursery.cancel_scope.cancel()
    return trio.current_time() - begun, got


@pytest.mark.timed
@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"", b""),
        (b"G", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"y"),
        (b"PRI * HTTP/2.0\r\n\r\n", b""),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"G"),
    ],
)
async def test_a_head_that_never_ends_is_cut(tmp_path: Path, begin: bytes, piece: bytes) -> None:
    async with quick_edge(tmp_path) as edge:
        with trio.fail_after(60):
            took_s, _ = await closed_after_s(edge, begin, piece)
    assert took_s < 5


def post(edge: Edge, *fields: str, path: str = "/api/v1/generations") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *fields, edge.authorization]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.timed
@pytest.mark.parametrize("fields", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
async def test_a_body_that_never_ends_is_408_and_the_connection_is_closed(tmp_path: Path, fields: str) -> None:
    async with quick_edge(tmp_path, body_timeout_s=0.5) as edge:
        piece = b"1\r\n \r\n" if "chunked" in fields else b" "
        with trio.fail_after(60):
            took_s, got = await closed_after_s(edge, post(edge, fields), piece)
    assert took_s < 5
    (answer,) = parsed(got)
    assert (answer.status, "request_timeout" in answer.text) == (408, True)


async def test_a_body_that_comes_slowly_but_steadily_is_read_to_its_end(tmp_path: Path) -> None:
    """An upload that takes longer than the bound, at 100 KiB/s."""
    async with quick_edge(tmp_path, body_timeout_s=0.2) as edge, await connect(edge.address) as stream:
        begun = trio.current_time()
        await stream.send_all(post(edge, "Connection: close", f"Content-Length: {60 * 2048}"))
        for _ in range(60):
            await stream.send_all(b" " * 2048)
            await trio.sleep(0.02)
        took_s = trio.current_time() - begun
        (answer,) = parsed(await read_to_end(stream))
    assert took_s > 1
    assert answer.status == 400
    assert "invalid_request" in answer.text


@pytest.mark.parametrize("path", ["/api/v1/logout", "/nowhere", "/healthz"])
async def test_a_body_that_nobody_reads_keeps_no_connection_open(tmp_path: Path, path: str) -> None:
    async with quick_edge(tmp_path, body_timeout_s=60) as edge:
        with trio.fail_after(60):
            _, got = await closed_after_s(edge, post(edge, "Content-Length: 100000", path=path), b"x")
    assert parsed(got)[0].status in {204, 404, 405}


async def test_half_open_connections_hold_up_nobody_and_end(tmp_path: Path) -> None:
    async with quick_edge(tmp_path) as edge:
        streams = [await connect(edge.address) for _ in range(50)]
        for stream in streams[:25]:
            await stream.send_eof()
        assert (await edge.ask("GET /healthz HTTP/1.1")).status == 200
        with trio.fail_after(60):
            for stream in streams:
                assert await stream.receive_some() == b""
                await stream.aclose()


async def test_connections_notice_that_their_peer_has_vanished() -> None:
    listeners, _ = _open_listeners(Config.from_mapping({"bind": ["127.0.0.1:0"]}))
    with listening(listeners[0]) as accepted:
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


@contextmanager
def listening(listener: object) -> Iterator[socket.socket]:
    assert isinstance(listener, trio.SocketListener)
    with socket.socket(fileno=socket.dup(listener.socket.fileno())) as sock:
        sock.setblocking(True)
        with socket.create_connection(sock.getsockname()):
            accepted, _ = sock.accept()
            with accepted:
                yield accepted
    listener.socket.close()


class App(QuartTrio):
    asgi_http_class = RequestConnection


@pytest.fixture
def app() -> QuartTrio:
    made = App("test", static_folder=None)

    @made.get("/")
    async def index() -> str:
        return "hello"

    return made


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def test_one_connection_too_many_is_told_so_and_closed(app: QuartTrio) -> None:
    bounds = [ConnectionLimiter(2, 100), ConnectionLimiter(100, 2)]
    for crowd in bounds:
        with trio.fail_after(60):
            async with open_server(app, crowd=crowd) as server:
                held = [await connect(server.address) for _ in range(2)]
                for stream in held:
                    await ask(stream, "/")
                    await read_until(stream, b"hello")
                refused = await connect(server.address)
                await refused.send_all(GET)
                (answer,) = parsed(await read_to_end(refused))
                await refused.aclose()
                assert (answer.status, "too_many_connections" in answer.text) == (503, True)
                assert answer.headers["retry-after"] == "2"
                # Those that are there are served, and make room.
                for stream in held:
                    await stream.send_all(GET)
                    assert parsed(await read_to_end(stream))[0].status == 200
                    await stream.aclose()
                async with await connect(server.address) as stream:
                    await stream.send_all(GET)
                    assert parsed(await read_to_end(stream))[0].status in {200, 503}


async def test_of_many_that_are_turned_away_most_are_just_closed(app: QuartTrio) -> None:
    with trio.fail_after(60):
        async with open_server(app, crowd=ConnectionLimiter(1, 1)) as server, await connect(server.address):
            streams = [await connect(server.address) for _ in range(crowd_module._GOODBYES + 20)]
            for stream in streams:
                with suppress(trio.BrokenResourceError):
                    await read_to_end(stream)
                await stream.aclose()


def test_addresses_that_are_exempt_count_in_all_but_not_for_themselves() -> None:
    crowd = ConnectionLimiter(3, 1, exempt=lambda address: address == "10.0.0.1")
    with crowd.counted("10.0.0.1"), crowd.counted("10.0.0.1"):
        assert crowd.has_room_for("10.0.0.1")
        with crowd.counted("10.0.0.2"):
            assert not crowd.has_room_for("10.0.0.1")
        assert crowd.has_room_for("10.0.0.2")
    assert not crowd._by_address


def test_connections_leave_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(max_connections=5000)
    for soft, limit in ((1024, 768), (256, 128), (10_000, 5000), (-1, 5000)):
        monkeypatch.setattr(crowd_module, "getrlimit", lambda _, soft=soft: (soft, soft))
        told: list[str] = []
        monkeypatch.setattr(crowd_module.log, "info", lambda event, told=told, **_: told.append(event), raising=False)
        assert connection_limit(settings) == limit
        assert bool(told) is (limit < 5000)
