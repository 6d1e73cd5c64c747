"""WebSockets of a preview that the service carries for its page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from http_kit import PATIENCE_S, World, open_world
from http_socket_kit import shake_hands
from together_kit import new_guest
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

BACKEND = '''
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.get("/health")
def health():
    return {}


@app.websocket("/echo")
async def echo(socket: WebSocket):
    """Say it again."""
    await socket.accept()
    print("echo is open for", socket.headers.get("x-shop"), flush=True)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            print("left with", message["code"], flush=True)
            return
        if message.get("text") == "leave":
            await socket.close(4001, "enough")
            return
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


@app.websocket("/closed")
async def closed(socket: WebSocket):
    await socket.close()
'''
FILES = {"main.py": BACKEND, "requirements.txt": "fastapi\nwebsockets\n"}


class Talk:
    """The client's side: each message is an event."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection

    async def say(self, **message: Any) -> None:
        await self._connection.send_message(json.dumps(message))

    async def say_raw(self, message: str | bytes) -> None:
        await self._connection.send_message(message)

    async def event(self) -> dict[str, Any]:
        """The next event; its type is `gone` once the service has closed."""
        with trio.fail_after(PATIENCE_S):
            try:
                found: dict[str, Any] = json.loads(await self._connection.get_message())
            except ConnectionClosed:
                reason = self._connection.closed
                return {"type": "gone", "code": None if reason is None else reason.code}
        return found


@asynccontextmanager
async def open_talk(world: World, generation: str, cookie: str | None = None) -> AsyncIterator[Talk]:
    fields = [(name.encode(), value.encode()) for name, value in world.headers("ann").items()]
    if cookie is not None:
        fields = [(b"Cookie", cookie.encode()), (b"Origin", world.url.encode())]
    host, port = world.address
    path = f"/api/v1/generations/{generation}/preview/socket"
    async with (
        await trio.open_tcp_stream(host, port) as stream,
        trio.open_nursery() as nursery,
        await wrap_client_stream(nursery, stream, f"{host}:{port}", path, extra_headers=fields) as found,
    ):
        yield Talk(found)


async def test_a_websocket_is_carried_for_the_page_and_for_nobody_else(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        generation = await world.keep(FILES)
        address = f"/api/v1/generations/{generation}/preview/socket"
        answer = await world.ask("GET", address)
        assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
        assert (await handshake(world, address, world.headers("ann")))[0] == 404  # nothing runs
        await world.launch(generation)
        await strangers_get_nothing(world, generation, address)
        await odd_messages_are_named(world, generation)
        await refusals_are_told(world, generation)
        await messages_go_both_ways(world, generation)


async def handshake(world: World, address: str, fields: dict[str, str]) -> tuple[int, bytes]:
    async with await trio.open_tcp_stream(*world.address) as stream:
        with trio.fail_after(PATIENCE_S):
            return await shake_hands(stream, address, fields)


async def strangers_get_nothing(world: World, generation: str, address: str) -> None:
    assert (await handshake(world, address, {}))[0] == 401
    assert (await handshake(world, address, dict(world.headers("eve"))))[0] == 404
    session = await world.ask("POST", "/api/v1/session")
    cookie = session.headers["set-cookie"].partition(";")[0]
    status, body = await handshake(world, address, {"Cookie": cookie, "Origin": "http://evil.example"})
    assert (status, json.loads(body)["details"]["reason"]) == (403, "cross_origin")
    watching = await new_guest(world, generation, "watch")
    assert (await handshake(world, address, {"Cookie": watching.cookie, "Origin": world.url}))[0] in {401, 403}
    using = await new_guest(world, generation, "use")
    async with open_talk(world, generation, using.cookie) as talk:
        await talk.say(type="open", path="/echo")
        assert (await talk.event())["type"] == "open"


async def odd_messages_are_named(world: World, generation: str) -> None:
    firsts: list[str | bytes] = [
        "nonsense",
        b"\xff\x00",
        "[" * 100_000,
        '{"type": "text", "text": "too early"}',
        '{"type": "open", "path": "//evil.example/x"}',
        '{"type": "open", "path": "/../x"}',
        '{"type": "open", "path": "/echo", "headers": [["X-A", "a\\r\\nX-B: b"]]}',
        '{"type": "open", "path": "/echo", "protocols": ["a\\r\\nX-B: b"]}',
    ]
    for first in firsts:
        async with open_talk(world, generation) as talk:
            await talk.say_raw(first)
            event = await talk.event()
            assert event["type"] == "error", (first[:60], event)
            assert event["code"] in {"invalid_request", "invalid_path"}, event
            assert (await talk.event())["type"] == "gone"
    async with open_talk(world, generation) as talk:
        await talk.say(type="open", path="/echo")
        assert (await talk.event())["type"] == "open"
        for later in ("{", b"\xff", '{"type": "binary", "base64": "%%%"}', '{"type": "close", "code": 1005, "x": 1}'):
            await talk.say_raw(later)
            assert (await talk.event())["code"] == "invalid_request"
        # The connection stays.
        await talk.say(type="text", text="still here")
        assert (await talk.event()) == {"type": "text", "text": "still here"}


async def refusals_are_told(world: World, generation: str) -> None:
    for path, status in (("/closed", 403), ("/nothing", 403)):
        async with open_talk(world, generation) as talk:
            await talk.say(type="open", path=path)
            event = await talk.event()
            assert (event["type"], event["status"]) == ("refused", status), event
            assert (await talk.event())["type"] == "gone"


async def messages_go_both_ways(world: World, generation: str) -> None:
    async with open_talk(world, generation) as talk:
        fields = [["X-Shop", "books"], ["Host", "evil.example"], ["Sec-WebSocket-Key", "x"]]
        await talk.say(type="open", path="/echo?room=1", headers=fields)
        opened = await talk.event()
        assert opened["type"] == "open"
        await talk.say(type="text", text="grüß")
        assert await talk.event() == {"type": "text", "text": "grüß"}
        await talk.say(type="binary", base64="AP8=")
        assert await talk.event() == {"type": "binary", "base64": "AP8="}
        await talk.say(type="close", code=3000, reason="done")
        assert await talk.event() == {"type": "close", "code": 3000, "reason": "done", "by": "you"}
    async with open_talk(world, generation) as talk:
        await talk.say(type="open", path="/echo")
        await talk.event()
        await talk.say(type="text", text="leave")
        assert await talk.event() == {"type": "close", "code": 4001, "reason": "enough", "by": "preview"}
        assert await talk.event() == {"type": "gone", "code": 1000}
    lines = (await world.ask("GET", f"/api/v1/generations/{generation}/preview/logs")).json()["lines"]
    assert any(one["message"] == "echo is open for books" for one in lines)
    found = (await world.ask("GET", f"/api/v1/generations/{generation}/preview/requests")).json()["items"]
    assert any(one["target"] == "/echo?room=1" and one["status"] == 101 for one in found)
