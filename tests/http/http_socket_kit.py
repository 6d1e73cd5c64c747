"""A log's WebSocket as a client library opens it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from http_kit import World
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream


class LogSocketClient:
    """Events one by one, however they were put into messages."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection
        self.waiting: list[dict[str, Any]] = []

    async def event(self) -> dict[str, Any] | None:
        """The next event; None once the server has closed."""
        while not self.waiting:
            try:
                self.waiting = json.loads(await self.connection.get_message())
            except ConnectionClosed:
                return None
        return self.waiting.pop(0)

    async def of_type(self, *kinds: str) -> dict[str, Any]:
        """The next event of these types."""
        while (event := await self.event()) is not None:
            if event["type"] in kinds:
                return event
        raise AssertionError(f"closed before any {kinds}: {self.closed}")

    async def say(self, **message: Any) -> None:
        await self.connection.send_message(json.dumps(message))

    async def events(self) -> list[dict[str, Any]]:
        found = []
        while (event := await self.event()) is not None:
            found.append(event)
        return found

    @property
    def closed(self) -> tuple[int, str] | None:
        reason = self.connection.closed
        return None if reason is None else (reason.code, reason.reason or "")


@asynccontextmanager
async def open_log_socket(
    world: World,
    generation: str,
    query: str = "",
    *,
    contract: str = "v1",
    user: str | None = "ann",
    headers: list[tuple[bytes, bytes]] | None = None,
) -> AsyncIterator[LogSocketClient]:
    prefix = "/api/v1/generations" if contract == "v1" else "/api/generations"
    fields = [(name.encode(), value.encode()) for name, value in world.headers(user).items()]
    host, port = world.address
    path = f"{prefix}/{generation}/preview/logs/ws{query}"
    # The library's own way to open one leaves the socket open where the server closes first.
    async with await trio.open_tcp_stream(host, port) as stream, trio.open_nursery() as nursery:
        extra, authority = fields + (headers or []), f"{host}:{port}"
        async with await wrap_client_stream(nursery, stream, authority, path, extra_headers=extra) as connection:
            yield LogSocketClient(connection)


async def shake_hands(stream: trio.SocketStream, target: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
    """A handshake by hand: its status, and the body where it is refused (the library then leaves the socket open)."""
    asked = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **fields,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
    await stream.send_all(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += await stream.receive_some()
    head_bytes, _, body = got.partition(b"\r\n\r\n")
    status = int(head_bytes.split()[1])
    length = re.search(rb"content-length: (\d+)", head_bytes)
    while length is not None and len(body) < int(length[1]):
        body += await stream.receive_some()
    return status, body
