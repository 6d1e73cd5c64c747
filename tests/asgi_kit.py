"""What each raw ASGI application of the tests says besides its answers; projects of tests have this file as well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Talk", "echo", "handled"]

Talk = Callable[[Any, Any, Any], Awaitable[None]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Take a WebSocket, and say again what comes over it."""
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def handled(scope: Any, receive: Any, send: Any, talk: Talk = echo) -> bool:
    """Whether it was the lifespan, or a WebSocket, which ``talk`` has had; else it is a request to be answered."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return True
    if scope["type"] == "websocket":
        await receive()
        await talk(scope, receive, send)
        return True
    return False
