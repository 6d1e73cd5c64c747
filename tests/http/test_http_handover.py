"""A connection that leaves Hypercorn behind the head of its answer."""

from __future__ import annotations

import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trustme
from http_server_kit import Running, ask, connect, open_server, read_to_end, read_until
from hypercorn.protocol.h11 import H11Protocol
from quart import Response, request
from quart_trio import QuartTrio

from preview.http.protocol.listening import RequestConnection, request_resources
from preview.http.protocol.strict_ws import Sends
from preview.http.protocol.takeover import LAST_CHUNK, Job, TakeoverBody, chunk_of, handover_in
from preview.http.protocol.tcp import BoundedTCPServer


class App(QuartTrio):
    """Hands a connection over where that is possible, and says otherwise that it is not."""

    asgi_http_class = RequestConnection

    def __init__(self, job: Job) -> None:
        super().__init__("test", static_folder=None)
        self.left = trio.Event()
        self.add_url_rule("/", view_func=self.answer, methods=["GET", "POST"])
        self.job = job
        self.is_failing = False
        self.after_request(self.finish)

    async def answer(self) -> Response:
        handover = handover_in(request.scope)
        if handover is None or not handover.is_possible:
            return Response("ordinary")
        request_resources().callback(self.left.set)
        response = Response(TakeoverBody(handover, self.job), headers={"Connection": "close"})
        response.timeout = None
        return response

    async def finish(self, response: Response) -> Response:
        if self.is_failing:
            self.is_failing = False  # the answer that says so is finished, too
            raise RuntimeError("after the handler")
        return response


async def hello(stream: trio.SocketStream, sends: Sends) -> None:
    await stream.send_all(chunk_of(b"hello") + LAST_CHUNK)


async def wait_for_the_end(stream: trio.SocketStream, sends: Sends) -> None:
    await stream.receive_some(1)


@asynccontextmanager
async def running(app: App, **settings: Any) -> AsyncIterator[Running]:
    with trio.fail_after(60):
        async with open_server(app, **settings) as server:
            yield server


async def test_the_job_writes_what_follows_the_head_and_the_connection_is_closed() -> None:
    app = App(hello)
    async with running(app) as server, await connect(server.address) as stream:
        await ask(stream, "/")
        answer = await read_to_end(stream)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head.lower()
        assert b"connection: close" in head.lower()
        assert body == b"5\r\nhello\r\n0\r\n\r\n"
        await app.left.wait()


async def test_the_resources_of_the_request_are_the_job_s_until_it_is_over() -> None:
    app = App(wait_for_the_end)
    async with running(app) as server:
        async with await connect(server.address) as stream:
            await ask(stream, "/")
            await read_until(stream, b"\r\n\r\n")
            assert not app.left.is_set()
        await app.left.wait()


async def test_nothing_of_hypercorn_s_connection_is_left() -> None:
    begun = trio.Event()
    before = protocols()

    async def wait(stream: trio.SocketStream, sends: Sends) -> None:
        begun.set()
        await stream.receive_some(1)

    async with running(App(wait)) as server, await connect(server.address) as stream:
        await ask(stream, "/")
        await begun.wait()
        assert [one for one in protocols() if not any(one is other for other in before)] == []


def protocols() -> list[H11Protocol]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, H11Protocol)]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n1",
    ],
    ids=["HTTP/1.0", "another request behind it", "its body has not come yet"],
)
async def test_what_is_not_a_whole_single_request_of_http_1_1_stays_ordinary(sent: bytes) -> None:
    async with running(App(hello)) as server, await connect(server.address) as stream:
        await stream.send_all(sent)
        await read_until(stream, b"ordinary")


async def test_tls_stays_ordinary(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with (
        running(App(hello), certfile=str(certificate), keyfile=str(key)) as server,
        httpx2.AsyncClient(verify=context, trust_env=False) as client,
    ):
        assert (await client.get(server.urls[0])).text == "ordinary"


async def test_a_failure_behind_the_handler_is_answered_and_nothing_is_handed_over() -> None:
    app = App(hello)
    app.is_failing = True
    async with running(app, errorlog=None) as server, await connect(server.address) as stream:
        await ask(stream, "/", "Connection: close")
        answer = await read_to_end(stream)
        assert b" 500 " in answer
        assert b"hello" not in answer
        await app.left.wait()


async def test_a_failing_job_is_its_connection_s_end_and_nobody_else_s() -> None:
    failed = False

    async def fail_once(stream: trio.SocketStream, sends: Sends) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise RuntimeError("the job failed")
        await hello(stream, sends)

    app = App(fail_once)
    async with running(app) as server:
        async with await connect(server.address) as stream:
            await ask(stream, "/")
            assert not (await read_to_end(stream)).endswith(LAST_CHUNK)
            await app.left.wait()
        async with await connect(server.address) as stream:
            await ask(stream, "/")
            assert (await read_to_end(stream)).endswith(LAST_CHUNK)


@pytest.mark.parametrize("is_cancelled", [False, True], ids=["by an error", "by a shutdown"])
async def test_a_connection_that_fails_behind_its_request_gives_the_resources_back(
    monkeypatch: pytest.MonkeyPatch, is_cancelled: bool
) -> None:
    begun, closing = trio.Event(), trio.Event()

    async def begin(stream: trio.SocketStream, sends: Sends) -> None:
        begun.set()

    close = BoundedTCPServer._close

    async def fail(connection: BoundedTCPServer) -> None:
        if connection.following is None:
            await close(connection)
            return
        closing.set()
        if is_cancelled:
            await trio.sleep_forever()
        raise RuntimeError("behind the request")

    monkeypatch.setattr(BoundedTCPServer, "_close", fail)
    app = App(begin)
    async with running(app, graceful_timeout=0.01) as server, await connect(server.address) as stream:
        await ask(stream, "/")
        await closing.wait()
        if is_cancelled:
            server.stop.set()
        await app.left.wait()
    assert not begun.is_set()


async def test_a_job_that_does_not_end_is_cut_when_the_server_stops() -> None:
    app = App(wait_for_the_end)
    async with running(app, graceful_timeout=0.1) as server, await connect(server.address) as stream:
        await ask(stream, "/")
        await read_until(stream, b"\r\n\r\n")
        server.stop.set()
        await server.stopped.wait()
        assert app.left.is_set()


async def test_a_client_that_is_gone_before_the_head_costs_nothing() -> None:
    asked, go_on = trio.Event(), trio.Event()
    app = App(wait_for_the_end)

    @app.before_request
    async def hold() -> None:
        asked.set()
        with trio.CancelScope(shield=True):
            await go_on.wait()

    async with running(app) as server:
        async with await connect(server.address) as stream:
            await ask(stream, "/")
            await asked.wait()
        go_on.set()
        async with await connect(server.address) as stream:
            await ask(stream, "/")
            await read_until(stream, b"\r\n\r\n")
