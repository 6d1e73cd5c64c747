"""The relay in front of an upstream of a test's own, with a access_gate who lets everybody in, and clients by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import h11
import trio
from hypercorn.config import Config

from preview.errors import PreviewError
from preview.http.relay import Relay, open_relay
from preview.http.server import serve_app
from preview.proxy.admission import Admitted, Fields, OwnAnswer, RequestHead
from preview.settings import load_settings

Address = tuple[str, int]
Handler = Callable[[trio.SocketStream], Awaitable[None]]
HOST = b"preview_x.localhost"


@dataclass
class OpenDoor:
    """Whatever is for ``preview_*.localhost`` may pass, to wherever ``address`` says."""

    address: Address
    process: int = 1
    prefix: str = ""
    answer_fields: Fields = ()
    own: OwnAnswer | None = None
    heads: list[RequestHead] = field(default_factory=list)
    held: int = 0
    holds: int = 0
    asked: int = 0
    asked_again: int = 0
    refused: list[PreviewError] = field(default_factory=list)
    is_traced: bool = False

    def is_for_preview(self, host: str, target: bytes) -> bool:
        return host.startswith("preview_")

    async def authorize(self, head: RequestHead) -> Admitted | OwnAnswer:
        self.heads.append(head)
        self.asked += 1
        if self.own is not None:
            return self.own
        return self._admitted()._replace(again=self.again)

    def again(self, target: bytes) -> Admitted | None:
        self.heads.append(self.heads[-1]._replace(target=target))
        self.asked_again += 1
        return self._admitted() if self.own is None else None

    def _admitted(self) -> Admitted:
        admitted = Admitted("preview_x", self.address, self.process, 0, self.prefix, self.hold, self.answer_fields)
        return admitted._replace(is_traced=self.is_traced)

    async def explain(self, head: RequestHead, admitted: Admitted, error: PreviewError) -> OwnAnswer:
        return self.refuse(head, error)

    def refuse(self, head: RequestHead, error: PreviewError) -> OwnAnswer:
        self.refused.append(error)
        status = {"upstream_failed": 502, "preview_unavailable": 503, "upstream_timeout": 504}.get(error.code, 400)
        return OwnAnswer(status, [(b"content-type", b"text/plain")], str(error).encode())

    @contextmanager
    def hold(self) -> Iterator[None]:
        self.held += 1
        self.holds += 1
        try:
            yield
        finally:
            self.held -= 1


@dataclass
class Front:
    """A relay on a port, and what stands behind it."""

    address: Address
    door: OpenDoor
    relay: Relay
    stop: trio.Event
    stopped: trio.Event
    told: list[tuple[str, int, int]]
    connections: Counter[str]

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send these bytes on a connection of their own, and read until it is closed."""
        with trio.fail_after(60):
            async with await trio.open_tcp_stream(*self.address) as stream:
                return await send_and_read(stream, *pieces)

    async def ask(self, request: bytes, *, method: str = "GET") -> tuple[h11.Response, bytes]:
        """One request whose connection ends behind it, and its answer as h11 reads it."""
        raw = await self.exchange(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        return read_answer(raw, method)


@dataclass
class HeldSecond:
    """A server whose second answer on a connection waits to be let go, behind ``asked``; further words are its end."""

    answer: bytes
    asked: trio.Event = field(default_factory=trio.Event)
    go_on: trio.Event = field(default_factory=trio.Event)
    ended: trio.Event = field(default_factory=trio.Event)

    async def serve(self, stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"first"))
        await stream.receive_some()
        self.asked.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._see_the_end, stream)
            await self.go_on.wait()
            await stream.send_all(self.answer)

    async def _see_the_end(self, stream: trio.SocketStream) -> None:
        if await stream.receive_some() == b"":
            self.ended.set()


async def send_and_read(stream: trio.SocketStream, *pieces: bytes) -> bytes:
    got = bytearray()
    try:
        for piece in pieces:
            await stream.send_all(piece)
        async for part in stream:
            got += part
    except trio.BrokenResourceError:
        pass
    return bytes(got)


def read_answer(raw: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """The one answer in these bytes, which must be well formed and complete."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(raw)
    parser.receive_data(b"")
    head, body = None, b""
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            break
        else:
            assert isinstance(event, h11.InformationalResponse), (event, raw)
    assert head is not None
    assert parser.trailing_data[0] == b"", raw
    return head, body


async def nobody(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind the relay: an application that says it was asked."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await send({"type": "http.response.start", "status": 299, "headers": [(b"content-length", b"8")]})
    await send({"type": "http.response.body", "body": b"ordinary"})


@asynccontextmanager
async def relay_to(handler: Handler, *, keep_alive_s: float = 5, **settings: object) -> AsyncIterator[Front]:
    """A relay to a server whose connections ``handler`` serves."""
    connections: Counter[str] = Counter()

    async def serve(stream: trio.SocketStream) -> None:
        connections["all"] += 1
        connections["open"] += 1
        try:
            await handler(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # cut in the middle of a request, for instance
        finally:
            connections["open"] -= 1

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            door = OpenDoor(listeners[0].socket.getsockname()[:2])
            async with relay_with(door, keep_alive_s=keep_alive_s, **settings) as front:
                front.connections = connections
                yield front
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def relay_with(door: OpenDoor, *, keep_alive_s: float = 5, **settings: object) -> AsyncIterator[Front]:
    """A relay with this access_gate, on our real server."""
    config = Config.from_mapping({"bind": ["127.0.0.1:0"], "graceful_timeout": 5, "errorlog": None})
    stop, stopped = trio.Event(), trio.Event()
    told: list[tuple[str, int, int]] = []

    def tell(method: str, head: Callable[[], RequestHead], status: int, size: int, _: float) -> None:
        assert head().method == method
        told.append((method, status, size))

    opening = open_relay(door, load_settings(**settings), keep_alive_s=keep_alive_s, told=tell)
    async with opening as relay, trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[list[str]]) -> None:
            await serve_app(nobody, config, shutdown_trigger=stop.wait, relay=relay, task_status=task_status)
            stopped.set()

        (url,) = await nursery.start(run)
        host, _, port = url.removeprefix("http://").rpartition(":")
        yield Front((host, int(port)), door, relay, stop, stopped, told, Counter())
        stop.set()
        with trio.fail_after(60):
            await stopped.wait()
    assert door.held == 0


def answers(payload: bytes, *, close: bool = False) -> Handler:
    """A server that reads each request as h11 does and answers with these bytes."""
    return recording([], payload, close=close)


@dataclass
class Seen:
    """A request as h11 read it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]]

    def __getitem__(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


def recording(seen: list[Seen], payload: bytes | Callable[[Seen], bytes], *, close: bool = False) -> Handler:
    """As ``answers``, keeping each request; a payload may be made from the request."""

    async def serve(stream: trio.SocketStream) -> None:
        parser = h11.Connection(h11.SERVER)
        while True:
            request = await next_request(parser, stream)
            if request is None:
                return
            seen.append(request)
            await stream.send_all(payload if isinstance(payload, bytes) else payload(request))
            if close:
                await stream.send_eof()
                return
            # h11 keeps count of answers; these are not its own.
            rest = parser.trailing_data[0]
            parser = h11.Connection(h11.SERVER)
            parser.receive_data(rest) if rest else None

    return serve


async def next_request(parser: h11.Connection, stream: trio.SocketStream) -> Seen | None:
    found: Seen | None = None
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            if parser.they_are_waiting_for_100_continue:
                await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                parser.send(h11.InformationalResponse(status_code=100, headers=[]))
            parser.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Request):
            headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            found = Seen(event.method.decode(), event.target.decode(), headers, b"", [])
        elif isinstance(event, h11.Data) and found is not None:
            found.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and found is not None:
            found.trailers = [(name.decode(), value.decode()) for name, value in event.headers]
            return found
        else:
            return None


def ok(body: bytes = b"", *fields: bytes) -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields]) + b"\r\n\r\n" + body


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return request(b"GET", target, *fields)


def request(method: bytes, target: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + HOST, *fields]) + b"\r\n\r\n" + body
