"""HTTP/2: what a stream's peer sends waits for that stream's application alone, and each stream has an end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import h2.errors
import h2.events
import trio
from http_h2_kit import Client, open_client
from http_server_kit import open_server
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage

WEBSOCKET = [(":protocol", "websocket"), ("sec-websocket-version", "13")]


class App:
    """``/count`` says how much came, ``/unread`` reads nothing until told to, ``/breaks`` breaks off; WebSockets echo.

    ``/deaf`` is a WebSocket that answers and then reads nothing.
    """

    def __init__(self) -> None:
        self.read = trio.Event()
        self.ends: list[str] = []
        self.ended = trio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                await send({"type": (await receive())["type"] + ".complete"})
        elif scope["type"] == "websocket":
            await self._echo(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/unread":
            await self.read.wait()
        if scope["path"] == "/breaks":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await receive()
            return
        count, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self._note(message["type"])
                return
            count, more = count + len(message["body"]), message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(count).encode(), "more_body": False})

    async def _echo(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await self.read.wait()
        if scope["path"] == "/refuses":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        if scope["path"] == "/deaf":
            await trio.sleep_forever()
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 4321})
                break
            await send({**message, "type": "websocket.send"})
        self._note(f"{message['type']} {message.get('code')}")

    def _note(self, how: str) -> None:
        self.ends.append(how)
        self.ended.set()


@asynccontextmanager
async def opened(app: App) -> AsyncIterator[Client]:
    with trio.fail_after(60):
        async with open_server(app) as running, open_client(running.address) as client:
            # Its own windows are not what is tested, but for the streams' that are not read.
            client.h2.increment_flow_control_window(2**24)
            yield client


async def reset_of(client: Client, number: int) -> int:
    await client.until(lambda: bool(client.of(h2.events.StreamReset, number)))
    (reset,) = client.of(h2.events.StreamReset, number)
    return int(reset.error_code)  # type: ignore[attr-defined]  # of this kind


async def test_an_upload_that_is_not_read_holds_up_no_other_stream() -> None:
    app = App()
    async with opened(app) as client:
        stalled = [await client.ask("/unread", method="POST", ended=False) for _ in range(3)]
        for number in stalled:
            for _ in range(60):
                await client.send(number, b"x" * 1000)
        upload = await client.ask("/count", method="POST", ended=False)
        await client.send(upload, b"y" * 300_000, ended=True)
        assert (await client.answer(upload))[1] == b"300000"
        app.read.set()
        for number in stalled:
            await client.send(number, b"x" * 100_000, ended=True)
            assert (await client.answer(number))[1] == b"160000"


async def test_what_an_upload_may_send_ahead_is_bounded() -> None:
    async with opened(App()) as client:
        upload = await client.ask("/unread", method="POST", ended=False)
        await client.send(upload, b"x" * 65535)
        assert (await client.answer(await client.ask()))[0] == 200
        assert client.h2.local_flow_control_window(upload) == 0


async def test_an_upload_that_is_not_read_can_be_taken_back() -> None:
    app = App()
    async with opened(app) as client:
        upload = await client.ask("/unread", method="POST", ended=False)
        for _ in range(60):
            await client.send(upload, b"x" * 1000)
        await client.reset(upload)
        assert (await client.answer(await client.ask()))[0] == 200
        app.read.set()
        await app.ended.wait()
        assert app.ends == ["http.disconnect"]
        # The room that it took in the connection's window is there again.
        other = await client.ask("/count", method="POST", ended=False)
        await client.send(other, b"y" * 200_000, ended=True)
        assert (await client.answer(other))[1] == b"200000"


async def test_padding_takes_no_room_for_ever() -> None:
    async with opened(App()) as client:
        upload = await client.ask("/count", method="POST", ended=False)
        await client.send(upload, b"x" * 100_000, ended=True, pad=255)
        assert (await client.answer(upload))[1] == b"100000"


async def test_an_answer_that_breaks_off_is_no_whole_one() -> None:
    async with opened(App()) as client:
        number = await client.ask("/breaks")
        assert await reset_of(client, number) == h2.errors.ErrorCodes.INTERNAL_ERROR
        assert not client.of(h2.events.StreamEnded, number)
        assert (await client.answer(await client.ask()))[0] == 200


# WebSockets (RFC 8441)


class Socket:
    """A WebSocket on a stream of its own."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number
        self.frames = Connection(ConnectionType.CLIENT)
        self.events: list[Event] = []
        self._read = 0

    @classmethod
    async def open(cls, client: Client, path: str = "/ws") -> Socket:
        return cls(client, await client.ask(path, *WEBSOCKET, method="CONNECT", ended=False))

    async def send(self, *events: Event, ended: bool = False) -> None:
        await self.client.send(self.number, b"".join(self.frames.send(one) for one in events), ended=ended)

    async def until(self, found: Callable[[], bool]) -> None:
        def take_in() -> bool:
            body = self.client.body(self.number)
            if len(body) > self._read:
                self.frames.receive_data(body[self._read :])
                self._read = len(body)
                self.events += self.frames.events()
            return found()

        await self.client.until(take_in)

    def said(self) -> list[Any]:
        return [one.data for one in self.events if isinstance(one, Message)]

    async def over(self) -> None:
        await self.client.until(lambda: bool(self.client.of(h2.events.StreamEnded, self.number)))


async def test_sockets_and_requests_share_a_connection() -> None:
    app = App()
    app.read.set()
    async with opened(app) as client:
        sockets = [await Socket.open(client) for _ in range(5)]
        for number, socket in enumerate(sockets):
            await socket.send(TextMessage(data=f"{number}"), BytesMessage(data=b"\x00" * 100_000), Ping())
        assert (await client.answer(await client.ask()))[0] == 200
        for number, socket in enumerate(sockets):
            await socket.until(lambda socket=socket: b"".join(socket.said()[1:]) == b"\x00" * 100_000)  # type: ignore[misc]
            assert socket.said()[0] == f"{number}"
            await socket.until(lambda socket=socket: any(isinstance(one, Pong) for one in socket.events))  # type: ignore[misc]


async def test_a_socket_that_says_goodbye_gets_one_and_its_stream_ends() -> None:
    app = App()
    app.read.set()
    async with opened(app) as client:
        socket = await Socket.open(client)
        await socket.send(TextMessage(data="hello"))
        await socket.until(lambda: socket.said() == ["hello"])
        await socket.send(CloseConnection(code=1000))
        await socket.until(lambda: any(isinstance(one, CloseConnection) for one in socket.events))
        await socket.over()
        await app.ended.wait()
        # What it says behind that is its own affair.
        await client.send(socket.number, b"\x81\x80\x00\x00\x00\x00")
        assert (await client.answer(await client.ask()))[0] == 200


async def test_a_socket_that_the_application_closes_ends() -> None:
    app = App()
    app.read.set()
    async with opened(app) as client:
        socket = await Socket.open(client)
        await socket.send(TextMessage(data="close"))
        await socket.until(lambda: any(isinstance(one, CloseConnection) for one in socket.events))
        await socket.over()


async def test_a_socket_that_ends_without_a_goodbye_is_gone_for_the_application() -> None:
    app = App()
    app.read.set()
    async with opened(app) as client:
        socket = await Socket.open(client)
        await client.until(lambda: bool(client.of(h2.events.ResponseReceived, socket.number)))
        client.h2.end_stream(socket.number)
        await client.flush()
        await socket.over()
        await app.ended.wait()
        assert app.ends == ["websocket.disconnect 1006"]


async def test_what_a_socket_says_before_it_is_accepted_is_kept() -> None:
    app = App()
    async with opened(app) as client:
        socket = await Socket.open(client)
        await socket.send(TextMessage(data="early"))
        assert (await client.answer(await client.ask()))[0] == 200
        app.read.set()
        await socket.until(lambda: socket.said() == ["early"])


async def test_what_a_socket_says_that_is_refused_is_dropped() -> None:
    app = App()
    async with opened(app) as client:
        socket = await Socket.open(client, "/refuses")
        await socket.send(TextMessage(data="early"))
        app.read.set()
        assert (await client.answer(socket.number))[0] == 403
        assert (await client.answer(await client.ask()))[0] == 200


async def test_a_socket_that_is_not_read_holds_up_no_other_stream() -> None:
    app = App()
    app.read.set()
    async with opened(app) as client:
        socket = await Socket.open(client, "/deaf")
        await client.until(lambda: bool(client.of(h2.events.ResponseReceived, socket.number)))
        for _ in range(50):
            await socket.send(*[TextMessage(data="x" * 10) for _ in range(50)])
        assert (await client.answer(await client.ask()))[0] == 200
