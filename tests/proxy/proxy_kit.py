"""A server that answers with bytes, to be as wrong as a test wants, and the client that asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import h11
import trio

from preview.proxy import PreviewClient, ProxyRequest, open_preview_client
from preview.settings import load_settings

Handler = Callable[[trio.SocketStream, bytes], Awaitable[None]]
GET = ProxyRequest("GET", "/")


class Upstream:
    """A server that answers with bytes, to be as wrong as wanted; keeps what it was sent."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[bytes] = []
        self.connections = 0
        self.address = ("127.0.0.1", 0)

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        try:
            while request := await read_request(stream):
                self.requests.append(request)
                await self.handler(stream, request)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


async def read_request(stream: trio.SocketStream) -> bytes:
    """Head and content of one request; empty at the end of the connection."""
    parser = h11.Connection(h11.SERVER)
    raw, got_head = b"", False
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some()
            raw += data
            if not data:
                return raw if got_head else b""
            parser.receive_data(data)
        elif isinstance(event, h11.Request):
            got_head = True
        elif isinstance(event, h11.EndOfMessage):
            return raw


def answers(payload: bytes, *, close: bool = False) -> Handler:
    async def handler(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(payload)
        if close:
            await stream.aclose()

    return handler


def ok(body: bytes, *fields: str) -> bytes:
    head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def upstream(handler: Handler) -> AsyncIterator[Upstream]:
    server = Upstream(handler)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1")
            listeners = await nursery.start(serve)
            server.address = listeners[0].socket.getsockname()[:2]
            yield server
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(**settings: object) -> AsyncIterator[PreviewClient]:
    async with open_preview_client(load_settings(**settings)) as opened:
        yield opened
