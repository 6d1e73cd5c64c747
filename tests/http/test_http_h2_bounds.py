"""HTTP/2: one stream's trouble is its own, and nobody keeps the server busy with nothing."""

from __future__ import annotations

from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import pytest
import trio
from http_h2_kit import Certificate, make_certificate, open_client
from http_server_kit import Running, open_server

PIECE = b"x" * 16384
HEAD = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/")]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


class App:
    """Answers with what came.

    ``/flood`` sends for ever, ``/early`` does not read, ``/wait`` ends when told to, ``/heeds`` at the end.
    """

    def __init__(self) -> None:
        self.flooded = 0
        self.wait = trio.Event()
        self.waiting = 0
        self.idle = trio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/heeds":
            self.idle = trio.Event() if not self.waiting else self.idle
            self.waiting += 1
            while (await receive())["type"] != "http.disconnect":
                pass
            self.waiting -= 1
            if not self.waiting:
                self.idle.set()
            return
        if scope["path"] == "/flood":
            while True:
                await send({"type": "http.response.body", "body": PIECE, "more_body": True})
                self.flooded += len(PIECE)
                # Once the connection is over nothing waits any more.
                await trio.lowlevel.checkpoint()
        if scope["path"] == "/wait":
            self.waiting += 1
            await self.wait.wait()
        said = repr([scope["method"], *sorted(scope["headers"])]).encode()
        await send({"type": "http.response.body", "body": said, "more_body": False})


def tls(certificate: Certificate) -> dict[str, Any]:
    return {"certfile": str(certificate.cert), "keyfile": str(certificate.key)}


async def test_a_stalled_stream_holds_up_no_other_and_little_is_kept_for_it(certificate: Certificate) -> None:
    app = App()
    async with open_server(app, **tls(certificate)) as running, open_client(running.address, certificate) as client:
        # The window of all of the connection is not what is tested.
        client.h2.increment_flow_control_window(2**24)
        stalled = await client.ask("/flood", stalls=True)
        for _ in range(20):
            assert (await client.answer(await client.ask()))[0] == 200
        await client.until(lambda: len(client.body(stalled)) == 65535)
        assert (await client.answer(await client.ask()))[0] == 200
        # What its window took, twice a frame, and one piece.
        assert app.flooded <= 65535 + 2 * 16384 + 2 * len(PIECE)


async def test_an_upload_that_is_answered_early_hurts_no_other_stream(certificate: Certificate) -> None:
    async with open_server(App(), **tls(certificate)) as running, open_client(running.address, certificate) as client:
        upload = await client.ask("/early", method="POST", ended=False)
        assert (await client.answer(upload))[0] == 200
        client.h2.send_data(upload, b"x" * 10_000)
        await client.flush()
        assert (await client.answer(await client.ask()))[0] == 200
        await client.until(lambda: bool(client.of(h2.events.StreamReset, upload)))
        (reset,) = client.of(h2.events.StreamReset, upload)
        assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR  # type: ignore[attr-defined]  # of this kind


async def flood(running: Running, certificate: Certificate, kind: str) -> int | None:
    """Why the connection was ended; None where what was not read any more kept that from coming."""
    async with open_client(running.address, certificate) as client:
        # On a loaded machine this is slow, and the server allows some each second.
        for number in range(20_000):
            if kind == "reset":
                stream = client.h2.get_next_available_stream_id()
                client.h2.send_headers(stream, HEAD, end_stream=True)
                client.h2.reset_stream(stream)
            elif kind == "ping":
                client.h2.ping(number.to_bytes(8, "big"))
            elif kind == "settings":
                client.h2.update_settings({4: 65535 + number})
            try:
                await client.flush()
            except trio.BrokenResourceError:
                break
        try:
            return await client.error_code()
        except trio.BrokenResourceError:
            return None


@pytest.mark.parametrize("kind", ["ping", "settings", "reset"])
async def test_who_keeps_the_server_busy_with_nothing_is_cut(certificate: Certificate, kind: str) -> None:
    app = App()
    async with open_server(app, **tls(certificate)) as running:
        assert await flood(running, certificate, kind) in {h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, None}
        async with open_client(running.address, certificate) as client:
            assert (await client.answer(await client.ask()))[0] == 200


async def test_requests_that_are_taken_back_at_once_leave_nothing_behind(certificate: Certificate) -> None:
    app = App()
    async with open_server(app, **tls(certificate)) as running, open_client(running.address, certificate) as client:
        for _ in range(400):
            await client.reset(await client.ask("/heeds"))
        assert (await client.answer(await client.ask()))[0] == 200
        with trio.fail_after(60):
            await app.idle.wait()


async def test_priorities_are_neither_followed_nor_remembered(certificate: Certificate) -> None:
    async with open_server(App(), **tls(certificate)) as running, open_client(running.address, certificate) as client:
        for number in range(1, 4001, 2):
            client.h2.prioritize(number, weight=1)
        await client.flush()
        assert (await client.answer(await client.ask()))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GE T", "/", 400, b"RFC 9113"),
        ("GET", "/\u00e4", 400, b"RFC 9113"),
        ("GET", "/a b", 400, b"RFC 9113"),
    ],
)
async def test_what_cannot_be_carried_on_is_refused_and_the_connection_goes_on(
    certificate: Certificate, method: str, path: str, status: int, said: bytes
) -> None:
    async with open_server(App(), **tls(certificate)) as running, open_client(running.address, certificate) as client:
        answer = await client.answer(await client.ask(path, method=method))
        assert (answer[0], said in answer[1]) == (status, True)
        assert (await client.answer(await client.ask()))[0] == 200


@pytest.mark.parametrize(
    "field", [("host", "elsewhere"), ("connection", "close"), ("transfer-encoding", "chunked"), ("Upper", "1")]
)
async def test_what_http_2_forbids_ends_the_connection(certificate: Certificate, field: tuple[str, str]) -> None:
    async with open_server(App(), **tls(certificate)) as running, open_client(running.address, certificate) as client:
        await client.ask("/", field)
        assert await client.error_code() == h2.errors.ErrorCodes.PROTOCOL_ERROR


async def test_crumbs_of_cookies_are_one_field_for_whoever_is_behind(certificate: Certificate) -> None:
    async with open_server(App(), **tls(certificate)) as running, open_client(running.address, certificate) as client:
        _, said = await client.answer(await client.ask("/", ("cookie", "a=1"), ("cookie", "b=2")))
    assert said.count(b"cookie") == 1
    assert b"(b'cookie', b'a=1; b=2')" in said


async def test_the_same_rules_hold_where_a_client_knows_that_http_2_is_spoken() -> None:
    async with open_server(App()) as running, open_client(running.address) as client:
        _, said = await client.answer(await client.ask("/", ("cookie", "a=1"), ("cookie", "b=2")))
        assert b"a=1; b=2" in said
        tunnel = await client.ask("/", (":protocol", "connect-udp"), method="CONNECT")
        status, said = await client.answer(tunnel)
        assert (status, b"only WebSockets" in said) == (501, True)


async def test_at_a_shutdown_open_streams_end_and_the_connection_says_goodbye(certificate: Certificate) -> None:
    app = App()
    serving = open_server(app, graceful_timeout=10, **tls(certificate))
    async with serving as running, open_client(running.address, certificate) as client:
        waiting = [await client.ask("/wait") for _ in range(3)]
        await client.until(lambda: len(client.of(h2.events.ResponseReceived)) == 3)
        running.stop.set()
        app.wait.set()
        for number in waiting:
            assert (await client.answer(number))[0] == 200
        assert await client.error_code() == h2.errors.ErrorCodes.NO_ERROR
