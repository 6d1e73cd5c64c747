"""A small trio application behind ``AsyncioBridge``, for any ASGI server: ``SERVER bridged_app:app``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import trio

from preview.embedding import AsyncioBridge, in_asyncio

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")
# What happened, for /state.
seen: dict[str, int] = {"left": 0, "open": 0, "ticks": 0}
bridge = AsyncioBridge()
crash = trio.Event()


async def answer(send: Any, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read(receive: Any) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def hang(receive: Any) -> None:
    seen["open"] += 1
    try:
        await until_gone(receive)
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.02)
        seen["open"] -= 1
        seen["left"] += 1


async def events(receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    seen["open"] += 1
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel_when_gone, receive, nursery.cancel_scope)
            for number in range(1_000):
                await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
                await trio.sleep(0.005)
    finally:
        seen["open"] -= 1
        seen["left"] += 1


async def cancel_when_gone(receive: Any, scope: trio.CancelScope) -> None:
    await until_gone(receive)
    scope.cancel()


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    seen["left"] += 1


async def lifespan(receive: Any, send: Any) -> None:
    await receive()
    async with background():
        await send({"type": "lifespan.startup.complete"})
        await receive()
    await send({"type": "lifespan.shutdown.complete"})


@asynccontextmanager
async def background() -> AsyncIterator[None]:
    """Hold open what runs between the requests."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        nursery.start_soon(crash_at_word)
        yield
        nursery.cancel_scope.cancel()
    print("lifespan over", flush=True)


async def tick() -> None:
    while True:
        seen["ticks"] += 1
        await trio.sleep(0.01)


async def crash_at_word() -> None:
    await crash.wait()
    raise LookupError("the service crashed")


async def serve(scope: Any, receive: Any, send: Any) -> None:
    """The application itself, in trio; the paths are those below the mount."""
    path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] != "lifespan" else ""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    elif path == "/state":
        await answer(send, 200, seen)
    elif path == "/who":
        await answer(send, 200, WHO.get())
    elif path == "/upload":
        await answer(send, 200, await read(receive))
    elif path == "/thread":
        await answer(send, 200, await trio.to_thread.run_sync(sum, [1, 2]))
    elif path == "/process":
        done = await trio.run_process(["echo", "hello"], capture_stdout=True, stderr=subprocess.DEVNULL)
        await answer(send, 200, done.stdout.decode())
    elif path == "/fail":
        raise KeyError("no such thing")
    elif path == "/crash":
        await answer(send, 200, "soon")
        crash.set()
    elif path == "/hang":
        await hang(receive)
    elif path == "/events":
        await events(receive, send)
    else:
        await answer(send, 200, {"path": path})


async def app(scope: Any, receive: Any, send: Any) -> None:
    """What the server runs: in asyncio or in trio."""
    WHO.set("the host")
    if in_asyncio():
        await bridge.serve(serve, scope, receive, send)
    else:
        await serve(scope, receive, send)
