"""Previews over HTTP/2, where many requests share a connection: each travels as if it were alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h2.errors
import h2.events
import pytest
import trio
from browser_kit import Door, open_door
from http_h2_kit import Client, open_client


class Upstream:
    """A preview whose requests end when the test says so."""

    def __init__(self) -> None:
        self.goes_on = trio.Event()
        self.there = trio.Event()
        self.gone = trio.Event()
        self.sent = 0
        self.pieces, self.got = trio.open_memory_channel[bytes](100)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
            return
        if scope["path"] == "/unread":
            await self.goes_on.wait()
            while (await receive()).get("more_body"):
                pass
        if scope["path"] == "/pieces":
            while (message := await receive()).get("more_body"):
                await self.pieces.send(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/flood":
            await self._flood(receive, send)
            return
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        if scope["path"] == "/slow":
            await self.goes_on.wait()
        if scope["path"] == "/breaks":
            raise RuntimeError("as intended")
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    async def _flood(self, receive: Any, send: Any) -> None:
        async with trio.open_nursery() as nursery:

            async def pour() -> None:
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
                    self.sent += 16384
                    self.there.set()

            nursery.start_soon(pour)
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone.set()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def opened(folder: Path, app: Upstream) -> AsyncIterator[tuple[Door, Client]]:
    with trio.fail_after(60):
        async with open_door(folder, app) as door, open_client(door.edge.address) as client:
            client.authority = door.host
            client.h2.increment_flow_control_window(2**24)
            yield door, client


async def ask(door: Door, client: Client, path: str, **more: Any) -> int:
    return await client.ask(path, ("authorization", door.bearer()["Authorization"]), **more)


async def test_each_piece_comes_as_it_is_written(tmp_path: Path) -> None:
    app = Upstream()
    async with opened(tmp_path, app) as (door, client):
        number = await ask(door, client, "/slow")
        await client.until(lambda: client.body(number) == b"one")
        app.goes_on.set()
        assert await client.answer(number) == (200, b"onetwo")


async def test_each_piece_of_an_upload_comes_as_it_is_sent(tmp_path: Path) -> None:
    app = Upstream()
    async with opened(tmp_path, app) as (door, client):
        number = await ask(door, client, "/pieces", method="POST", ended=False)
        for piece in (b"first", b"second"):
            await client.send(number, piece)
            assert await app.got.receive() == piece
        client.h2.end_stream(number)
        await client.flush()
        assert await client.answer(number) == (200, b"onetwo")


async def test_a_download_that_is_not_read_stalls_alone_and_is_held_back_at_the_preview(tmp_path: Path) -> None:
    app = Upstream()
    async with opened(tmp_path, app) as (door, client):
        await ask(door, client, "/flood", stalls=True)
        for _ in range(5):
            assert (await client.answer(await ask(door, client, "/")))[0] == 200
        # The window, and what the sockets between service and preview hold.
        assert app.sent < 16 * 1024 * 1024


@pytest.mark.timed
async def test_an_upload_that_the_preview_does_not_read_stalls_alone(tmp_path: Path) -> None:
    app = Upstream()
    async with opened(tmp_path, app) as (door, client):
        number = await ask(door, client, "/unread", method="POST", ended=False)
        stopped = False
        while not stopped:
            # Until the sockets are full, and the window is not opened again while others are answered.
            await client.send(number, b"x" * min(65535, client.h2.local_flow_control_window(number)))
            for _ in range(3):
                assert (await client.answer(await ask(door, client, "/")))[0] == 200
            stopped = client.h2.local_flow_control_window(number) == 0
        app.goes_on.set()
        await client.send(number, b"x" * 100_000, ended=True)
        assert await client.answer(number) == (200, b"onetwo")


async def test_a_request_that_is_taken_back_ends_at_the_preview_too(tmp_path: Path) -> None:
    app = Upstream()
    async with opened(tmp_path, app) as (door, client):
        number = await ask(door, client, "/flood", stalls=True)
        await app.there.wait()
        await client.reset(number)
        with trio.fail_after(60):
            await app.gone.wait()
        assert (await client.answer(await ask(door, client, "/")))[0] == 200


async def test_a_connection_that_is_lost_ends_its_requests(tmp_path: Path) -> None:
    app = Upstream()
    async with opened(tmp_path, app) as (door, client):
        await ask(door, client, "/flood", stalls=True)
        await app.there.wait()
        await client.stream.aclose()
        with trio.fail_after(60):
            await app.gone.wait()


async def test_an_answer_that_the_preview_breaks_off_is_no_whole_one(tmp_path: Path) -> None:
    async with opened(tmp_path, Upstream()) as (door, client):
        number = await ask(door, client, "/breaks")
        await client.until(lambda: bool(client.of(h2.events.StreamReset, number)))
        (reset,) = client.of(h2.events.StreamReset, number)
        assert reset.error_code == h2.errors.ErrorCodes.INTERNAL_ERROR  # type: ignore[attr-defined]  # of this kind
        assert (await client.answer(await ask(door, client, "/")))[0] == 200
