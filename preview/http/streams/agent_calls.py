"""Calls of AI agents over HTTP: opens the MCP server on first use, and answers within limits."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx2
import trio

from preview.client.asynchronous import AsyncClient
from preview.core.clock import utc_now
from preview.errors import TooManyStreams, UpstreamTimeout
from preview.people_errors import AgentsUnavailable

if TYPE_CHECKING:
    from preview.agents.endpoint import HttpReply, HttpServer

MOST_BODY_BYTES = 4 * 1024 * 1024
"""Most bytes of one MCP request; larger projects are launched by `preview push` or over stdio."""
# The longest wait of a tool is 300 s; a launch's response may take 30 s more.
MOST_S = 360.0
MOST_CALLS = 8
"""Most calls of one user at a time."""
_PASSED_ON = frozenset({b"accept", b"content-type"})


class AgentCalls:
    """The MCP server of the running app. Its tools send their requests to the app itself, with the caller's token.

    So each tool may do what the token may, and nothing else decides about that.

    Args:
        app: The ASGI application.
        trusted_origins: Origins whose pages may use the tools, besides the service's own.
    """

    def __init__(self, app: Any, trusted_origins: frozenset[str]) -> None:
        self._app = app
        self.trusted_origins = trusted_origins
        self._wanted, self._ready = trio.Event(), trio.Event()
        self._server: HttpServer | None = None
        self._has_sdk = True
        self._calls: Counter[str] = Counter()

    async def run(self) -> None:
        """Open the server when the first agent calls, and keep it open. Never returns.

        Cancellation: the server is closed.
        """
        await self._wanted.wait()
        try:
            # About a second of imports; the service goes on meanwhile.
            endpoint = await trio.to_thread.run_sync(importlib.import_module, "preview.agents.endpoint")
        except ImportError:
            self._has_sdk = False
            self._ready.set()
            return
        async with endpoint.open_http_server(MOST_BODY_BYTES) as self._server:
            self._ready.set()
            await trio.sleep_forever()

    @contextmanager
    def hold(self, user_id: str) -> Iterator[None]:
        """Count one call of a user while this context is open.

        Raises:
            TooManyStreams: The user has the maximum number of calls under way.
        """
        if self._calls[user_id] >= MOST_CALLS:
            raise TooManyStreams(
                f"Your agents have {MOST_CALLS} calls under way, the maximum; wait for one to end.", limit=MOST_CALLS
            )
        self._calls[user_id] += 1
        try:
            yield
        finally:
            self._calls[user_id] -= 1
            self._calls += Counter()

    async def answer(self, scope: dict[str, Any], token: str, expires_at: datetime, body: bytes) -> HttpReply:
        """Answer one MCP request.

        Args:
            scope: ASGI scope of the request.
            token: The caller's bearer token.
            expires_at: Its expiry; a call does not outlive it.
            body: Untrusted bytes, at most ``MOST_BODY_BYTES``.

        Raises:
            AgentsUnavailable: The SDK is not installed.
            UpstreamTimeout: The call took too long.

        Cancellation: the tool is cancelled.
        """
        self._wanted.set()
        await self._ready.wait()
        if self._server is None:
            raise AgentsUnavailable("This service has no tools for agents; its operator can install `preview[mcp]`.")
        connection_of = importlib.import_module("preview.agents.connection").Connection
        time_s = min(MOST_S, (expires_at - utc_now()).total_seconds())
        # The connection to the app needs no descriptor, and is closed with the call.
        async with AsyncClient(
            _address(scope),
            token,
            retry_pauses_s=(),
            user_agent="preview-mcp",
            transport=httpx2.ASGITransport(self._app, client=scope.get("client") or ("127.0.0.1", 0)),
        ) as client:
            with trio.move_on_after(max(0.0, time_s)):
                return await self._server.answer(connection_of(client), _fields(scope), body)
        raise UpstreamTimeout(f"The call took longer than {time_s:.0f} s; ask for less, or for a shorter wait.")


def _fields(scope: dict[str, Any]) -> Sequence[tuple[bytes, bytes]]:
    """Return the header fields that the protocol uses; credentials stay here."""
    given = ((name.lower(), value) for name, value in scope["headers"])
    return [(name, value) for name, value in given if name in _PASSED_ON or name.startswith(b"mcp-")]


def _address(scope: dict[str, Any]) -> str:
    """Return the address of this service as the caller knows it: answers have addresses that are made from it."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"), "localhost")
    scheme = "https" if scope.get("scheme") == "https" else "http"
    return f"{scheme}://{host}{scope.get('root_path', '').rstrip('/')}"
