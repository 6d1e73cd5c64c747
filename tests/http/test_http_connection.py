from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
import pytest
import trio
import trustme
from http_server_kit import ask, connect, open_server, read_to_end, read_until
from quart import Response
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio

from preview.http.protocol.listening import RequestConnection, request_resources
from preview.http.protocol.strict_ws import Sends


class Endless(ResponseBody):
    """Sends for ever; says when its end was awaited."""

    def __init__(self, piece: bytes, left: trio.Event, pause_s: float = 0) -> None:
        self.piece, self.left, self.pause_s = piece, left, pause_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        self.left.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(self.pause_s)
        return self.piece


class App(QuartTrio):
    asgi_http_class = RequestConnection


@pytest.fixture
def app() -> App:
    made = App("test", static_folder=None)

    @made.get("/")
    async def index() -> str:
        return "hello"

    return made


async def test_connection_close_closes_the_connection(app: App) -> None:
    with trio.fail_after(60):
        async with open_server(app) as server, await connect(server.address) as stream:
            await ask(stream, "/", "Connection: close")
            answer = await read_to_end(stream)
    assert answer.endswith(b"hello")


async def test_an_idle_connection_is_closed_after_the_keep_alive_timeout(app: App) -> None:
    with trio.fail_after(60):
        async with open_server(app, keep_alive_timeout=0.2) as server, await connect(server.address) as stream:
            await ask(stream, "/")
            await read_to_end(stream)


async def test_a_connection_serves_one_request_after_another(app: App) -> None:
    with trio.fail_after(60):
        async with open_server(app) as server, await connect(server.address) as stream:
            for _ in range(3):
                await ask(stream, "/")
                await read_until(stream, b"hello")


async def test_idle_connections_do_not_delay_a_shutdown(app: App) -> None:
    with trio.fail_after(60):
        async with open_server(app, graceful_timeout=60) as server, await connect(server.address) as stream:
            await ask(stream, "/")
            await read_until(stream, b"hello")
            server.stop.set()
            await server.stopped.wait()


@pytest.mark.timed
async def test_a_stalled_reader_does_not_hang_the_shutdown(app: App) -> None:
    left = trio.Event()

    @app.get("/flood")
    async def flood() -> Response:
        response = Response(Endless(b"x" * 1_000_000, left))
        response.timeout = None
        return response

    with trio.fail_after(60):
        async with open_server(app, graceful_timeout=0.3) as server, await connect(server.address) as stream:
            await ask(stream, "/flood")
            await read_until(stream, b"xxxx")
            begun = trio.current_time()
            server.stop.set()
            await server.stopped.wait()
            assert left.is_set()
            # The graceful timeout, the second that readers have at a shutdown, and room for a busy machine.
            assert trio.current_time() - begun < 5


async def test_a_stalled_reader_is_let_go_while_the_server_runs(app: App) -> None:
    left = trio.Event()

    @app.get("/flood")
    async def flood() -> Response:
        response = Response(Endless(b"x" * 1_000_000, left))
        response.timeout = None
        return response

    with trio.fail_after(60):
        async with open_server(app, Sends(0.3)) as server, await connect(server.address) as stream:
            await ask(stream, "/flood")
            await left.wait()


async def test_a_slow_reader_that_goes_on_reading_is_not_let_go(app: App) -> None:
    whole = 6_000_000

    @app.get("/big")
    async def big() -> bytes:
        return b"x" * whole

    with trio.fail_after(60):
        async with open_server(app, Sends(2)) as server, await connect(server.address) as stream:
            await ask(stream, "/big", "Connection: close")
            got = 0
            while piece := await stream.receive_some(65536):
                got += len(piece)
                await trio.sleep(0.01)
    assert got > whole


async def test_a_client_that_goes_away_ends_the_body_with_its_cleanup(app: App) -> None:
    left = trio.Event()

    @app.get("/quiet")
    async def quiet() -> Response:
        response = Response(Endless(b"x", left, pause_s=60))
        response.timeout = None
        return response

    with trio.fail_after(60):
        async with open_server(app) as server:
            async with await connect(server.address) as stream:
                await ask(stream, "/quiet")
                await read_until(stream, b"\r\n\r\n")
            await left.wait()


async def test_resources_are_given_back_where_the_body_was_never_begun(app: App) -> None:
    entered, left = trio.Event(), trio.Event()

    @app.get("/taken")
    async def taken() -> str:
        request_resources().callback(left.set)
        entered.set()
        await trio.sleep_forever()
        return "never"

    with trio.fail_after(60):
        async with open_server(app) as server:
            async with await connect(server.address) as stream:
                await ask(stream, "/taken")
                await entered.wait()
            await left.wait()


async def test_resources_are_given_back_after_an_answer(app: App) -> None:
    left = trio.Event()

    @app.get("/taken")
    async def taken() -> str:
        request_resources().callback(left.set)
        return "done"

    with trio.fail_after(60):
        async with open_server(app) as server, await connect(server.address) as stream:
            await ask(stream, "/taken")
            await read_until(stream, b"done")
            await left.wait()


async def test_a_failing_handler_leaves_the_server_running(app: App) -> None:
    @app.get("/broken")
    async def broken() -> str:
        raise RuntimeError("broken")

    with trio.fail_after(60):
        async with open_server(app, errorlog=None) as server:
            async with await connect(server.address) as stream:
                await ask(stream, "/broken", "Connection: close")
                assert b" 500 " in await read_to_end(stream)
            async with await connect(server.address) as stream:
                await ask(stream, "/")
                await read_until(stream, b"hello")


async def test_tls_and_plain_addresses_are_served_side_by_side(app: App, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files: dict[str, Any] = {"certfile": str(certificate), "keyfile": str(key), "insecure_bind": ["127.0.0.1:0"]}
    with trio.fail_after(60):
        async with open_server(app, **files) as server:
            assert len(server.urls) == 2
            for url in server.urls:
                async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
                    assert (await client.get(url)).text == "hello"


async def test_a_unix_socket_and_an_inherited_one_are_listened_on_and_not_inherited(app: App, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        with trio.fail_after(60):
            async with open_server(app, bind=[f"unix:{path}", f"fd://{os.dup(inherited.fileno())}"]):
                for stream in (
                    await trio.open_unix_socket(path),
                    await trio.open_tcp_stream(*inherited.getsockname()),
                ):
                    async with stream:
                        await ask(stream, "/")
                        await read_until(stream, b"hello")


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_connection_ends_with_its_client_not_with_its_idle_time(app: App) -> None:
    with trio.fail_after(60):
        async with open_server(app, keep_alive_timeout=3600) as server:
            descriptors = open_descriptors()
            for _ in range(5):
                async with await connect(server.address) as stream:
                    await ask(stream, "/")
                    await read_until(stream, b"hello")
            while open_descriptors() > descriptors:  # noqa: ASYNC110  the kernel has no event for it
                await trio.sleep(0.001)
