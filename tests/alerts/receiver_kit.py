"""A receiver of webhooks: a real server that behaves as a script says."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11
import trio

from preview.alerts.webhooks.addresses import AddressPolicy
from preview.alerts.webhooks.sender import Message, WebhookSender
from preview.alerts.webhooks.target import parse_target

Behaviour = Callable[[trio.abc.Stream], Awaitable[None]]
LOOPBACK = ("127.0.0.0/8",)


@dataclass
class Received:
    """A request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A server on loopback.

    Attributes:
        port: Its port.
        received: Complete requests.
        connections: Number of connections.
        answers: Statuses of the next responses; then 204.
        arrived: Set at the next request.
    """

    port: int
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    answers: list[int] = field(default_factory=list)
    fields: list[tuple[str, str]] = field(default_factory=list)
    arrived: trio.Event = field(default_factory=trio.Event)

    def url(self, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}/hook?a=1"

    async def wait_for(self, count: int) -> list[Received]:
        while len(self.received) < count:
            await self.arrived.wait()
        return self.received


@asynccontextmanager
async def open_receiver(
    behaviour: Behaviour | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Serve while the context is open; with a behaviour, each connection is handed to it."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        receiver = Receiver(listeners[0].socket.getsockname()[1])

        async def serve(stream: trio.SocketStream) -> None:
            receiver.connections += 1
            secured: trio.abc.Stream = stream
            if tls is not None:
                secured = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
            try:
                await (answer(secured, receiver) if behaviour is None else behaviour(secured))
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
                pass
            finally:
                await trio.aclose_forcefully(stream)

        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield receiver
        nursery.cancel_scope.cancel()


async def answer(stream: trio.abc.Stream, receiver: Receiver) -> None:
    """Read one request and answer it."""
    connection = h11.Connection(h11.SERVER)
    request: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            break
    if request is None:
        return
    headers = {name.decode(): value.decode() for name, value in request.headers}
    receiver.received.append(Received(request.target.decode(), headers, body))
    status = receiver.answers.pop(0) if receiver.answers else 204
    head = h11.Response(status_code=status, headers=[*receiver.fields, ("Content-Length", "0")])
    await stream.send_all(connection.send(head) or b"")
    receiver.arrived.set()
    receiver.arrived = trio.Event()


class FakeResolver:
    """A resolver under an attacker's control.

    Args:
        answers: By host, the addresses of each look-up in turn; the last one stays.
    """

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {host.replace("_", "."): list(lists) for host, lists in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, user_id: str) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append(host)
        lists = self._answers.get(host)
        if not lists:
            raise OSError("no such name")
        return lists.pop(0) if len(lists) > 1 else lists[0]


def message(url: str, *, body: bytes = b"{}", secret: str | None = "s3cret", user_id: str = "anna") -> Message:
    return Message(user_id, "firing_1", parse_target(url), secret, body)


def local_sender(**options: object) -> WebhookSender:
    """A sender that may reach loopback."""
    return WebhookSender(AddressPolicy(LOOPBACK), **options)  # type: ignore[arg-type]  # tests name few
