"""Helpers: an app behind our real server, and HTTP by hand where a client library would hide what is tested."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio
from hypercorn.config import Config

from preview.http.protocol.listening import ConnectionLimiter
from preview.http.protocol.strict_ws import Sends
from preview.http.server import serve_app

Address = tuple[str, int]


@dataclass
class Running:
    """A server of a test."""

    urls: list[str]
    address: Address
    stop: trio.Event
    stopped: trio.Event


@asynccontextmanager
async def open_server(
    app: object, sends: Sends | None = None, *, crowd: ConnectionLimiter | None = None, **settings: object
) -> AsyncIterator[Running]:
    config = Config.from_mapping({"bind": ["127.0.0.1:0"], "graceful_timeout": 0.5, **settings})
    stop, stopped = trio.Event(), trio.Event()

    async def run(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve_app(app, config, shutdown_trigger=stop.wait, sends=sends, crowd=crowd, task_status=task_status)
        stopped.set()

    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(partial(run))
        host, _, port = addresses[0].partition("://")[2].rpartition(":")
        yield Running(addresses, (host, int(port) if port.isdigit() else 0), stop, stopped)
        stop.set()
        with trio.fail_after(60):
            await stopped.wait()


async def connect(address: Address) -> trio.SocketStream:
    return await trio.open_tcp_stream(*address)


async def ask(stream: trio.SocketStream, path: str, *fields: str) -> None:
    lines = [f"GET {path} HTTP/1.1", "Host: test", *fields, "", ""]
    await stream.send_all("\r\n".join(lines).encode())


async def read_until(stream: trio.SocketStream, end: bytes) -> bytes:
    got = b""
    while end not in got:
        piece = await stream.receive_some()
        assert piece, f"closed after {got!r}"
        got += piece
    return got


async def read_to_end(stream: trio.SocketStream) -> bytes:
    got = b""
    async for piece in stream:
        got += piece
    return got
