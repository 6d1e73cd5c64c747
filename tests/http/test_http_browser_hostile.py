"""Clients and previews of the ordinary way that do the wrong thing at the wrong time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import trio
from browser_kit import Door, open_door
from http_h2_kit import open_client

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def opened(folder: Path, serve: Serve, **settings: Any) -> AsyncIterator[Door]:
    with trio.fail_after(60):
        async with open_door(folder, **settings) as door, trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            door.preview.record = replace(door.preview.record, port=listeners[0].socket.getsockname()[1])
            yield door
            nursery.cancel_scope.cancel()


async def test_a_request_that_was_taken_back_ahead_of_its_content_never_reaches_the_preview(tmp_path: Path) -> None:
    came: list[bytes] = []

    async def serve(stream: trio.SocketStream) -> None:
        came.append(await stream.receive_some())
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with opened(tmp_path, serve) as door, open_client(door.edge.address) as client:
        client.authority = door.host
        who = ("authorization", door.bearer()["Authorization"])
        number = await client.ask("/gone", who, method="POST", ended=False)
        await client.reset(number)
        number = await client.ask("/there", who)
        assert await client.answer(number) == (200, b"ok")
        assert [head.partition(b" HTTP")[0] for head in came] == [b"GET /there"]


async def deaf(stream: trio.SocketStream, gone: trio.Event) -> None:
    """Reads no more than a beginning, and answers without an end."""
    await stream.receive_some(1000)
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
    with suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.01)
    gone.set()


async def test_a_client_that_goes_away_while_the_preview_takes_no_content_ends_the_answer_too(tmp_path: Path) -> None:
    gone = trio.Event()
    serve = partial(deaf, gone=gone)
    async with opened(tmp_path, serve, proxy_timeout_s=0.3) as door, open_client(door.edge.address) as client:
        client.authority = door.host
        who = ("authorization", door.bearer()["Authorization"])
        number = await client.ask("/", who, method="POST", ended=False)
        # More than all buffers on the way hold, ours and the kernel's; the answer goes on all the same.
        await client.send(number, b"x" * 12_000_000)
        assert not gone.is_set()
        seen = len(client.body(number))
        await client.until(lambda: len(client.body(number)) > seen)
        await client.reset(number)
        with trio.fail_after(60):
            await gone.wait()
