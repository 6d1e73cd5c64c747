"""The MCP server behind one HTTP address: each request stands for itself.

There are no sessions. So nothing of one caller is kept for the next request, no session id is worth stealing, and a
token that was revoked or has expired is refused at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.transport_security import TransportSecuritySettings

from preview.agents.connection import Connection, current
from preview.agents.serving import make_server


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A response of the server."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class HttpServer:
    """Answers MCP requests (Streamable HTTP without sessions, responses as JSON). Opened by ``open_http_server``."""

    def __init__(self, most_bytes: int) -> None:
        server = make_server(takes_folders=False)
        # The caller has checked host and origin, before anything was read.
        checked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        server.streamable_http_app(
            json_response=True, stateless_http=True, max_request_body_size=most_bytes, transport_security=checked
        )
        self.manager = server.session_manager

    async def answer(self, connection: Connection, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> HttpReply:
        """Answer one POST.

        Args:
            connection: The service, as the caller of this request.
            headers: Header fields, with names in lower case and without credentials.
            body: Untrusted bytes, of bounded length.

        Cancellation: the tool is cancelled.
        """
        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/mcp", "raw_path": b"/mcp", "root_path": "", "query_string": b"", "headers": list(headers),
            "client": None, "server": None,
        }  # fmt: skip
        status, fields, content, has_read = 500, list[tuple[bytes, bytes]](), bytearray(), False

        async def receive() -> dict[str, Any]:
            nonlocal has_read
            if has_read:
                await anyio.sleep_forever()
            has_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status, fields
            if message["type"] == "http.response.start":
                status, fields = message["status"], list(message["headers"])
            else:
                content.extend(message.get("body", b""))

        token = current.set(connection)
        try:
            await self.manager.handle_request(scope, receive, send)
        finally:
            current.reset(token)
        return HttpReply(status, fields, bytes(content))


@asynccontextmanager
async def open_http_server(most_bytes: int) -> AsyncIterator[HttpServer]:
    """Open the server.

    Args:
        most_bytes: Most bytes of a request's body.

    Cancellation: running tools are cancelled.
    """
    server = HttpServer(most_bytes)
    async with server.manager.run():
        yield server
