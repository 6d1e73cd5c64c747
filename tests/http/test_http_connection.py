from __future__ import annotations

from types import TracebackType
from typing import Self

import pytest
import trio
from http_server_kit import ask, connect, open_server, read_to_end, read_until
from quart import Response
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio

from preview.http.connection import RequestConnection, request_resources
from preview.http.tcp import Sends


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
    with trio.fail_after(10):
        async with open_server(app) as server, await connect(server.address) as stream:
            await ask(stream, "/", "Connection: close")
            answer = await read_to_end(stream)
    assert answer.endswith(b"hello")


async def test_an_idle_connection_is_closed_after_the_keep_alive_timeout(app: App) -> None:
    with trio.fail_after(10):
        async with open_server(app, keep_alive_timeout=0.2) as server, await connect(server.address) as stream:
            await ask(stream, "/")
            await read_to_end(stream)


async def test_a_connection_serves_one_request_after_another(app: App) -> None:
    with trio.fail_after(10):
        async with open_server(app) as server, await connect(server.address) as stream:
            for _ in range(3):
                await ask(stream, "/")
                await read_until(stream, b"hello")


async def test_idle_connections_do_not_delay_a_shutdown(app: App) -> None:
    with trio.fail_after(10):
        async with open_server(app, graceful_timeout=60) as server, await connect(server.address) as stream:
            await ask(stream, "/")
            await read_until(stream, b"hello")
            server.stop.set()
            await server.stopped.wait()


async def test_a_stalled_reader_does_not_hang_the_shutdown(app: App) -> None:
    left = trio.Event()

    @app.get("/flood")
    async def flood() -> Response:
        response = Response(Endless(b"x" * 1_000_000, left))
        response.timeout = None
        return response

    with trio.fail_after(20):
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

    with trio.fail_after(20):
        async with open_server(app, Sends(0.3)) as server, await connect(server.address) as stream:
            await ask(stream, "/flood")
            await left.wait()


async def test_a_slow_reader_that_goes_on_reading_is_not_let_go(app: App) -> None:
    whole = 6_000_000

    @app.get("/big")
    async def big() -> bytes:
        return b"x" * whole

    with trio.fail_after(30):
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

    with trio.fail_after(10):
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

    with trio.fail_after(10):
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

    with trio.fail_after(10):
        async with open_server(app) as server, await connect(server.address) as stream:
            await ask(stream, "/taken")
            await read_until(stream, b"done")
            await left.wait()


async def test_a_failing_handler_leaves_the_server_running(app: App) -> None:
    @app.get("/broken")
    async def broken() -> str:
        raise RuntimeError("broken")

    with trio.fail_after(10):
        async with open_server(app, errorlog=None) as server:
            async with await connect(server.address) as stream:
                await ask(stream, "/broken", "Connection: close")
                assert b" 500 " in await read_to_end(stream)
            async with await connect(server.address) as stream:
                await ask(stream, "/")
                await read_until(stream, b"hello")
