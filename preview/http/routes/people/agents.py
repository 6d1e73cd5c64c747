"""The address of AI agents: MCP over Streamable HTTP, with a bearer token."""

from __future__ import annotations

from typing import cast

from quart import Blueprint, Response, request

from preview.errors import Forbidden, Unauthenticated
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.core.cookies import is_same_origin
from preview.http.core.reading import body_pieces
from preview.http.identity import require_identity
from preview.http.streams.agent_calls import MOST_BODY_BYTES


def agent_routes(running: Running) -> Blueprint:
    """Return the route."""
    routes = BackendRoutes("agents", running)

    @routes.post("/mcp")
    async def serve(backend: Backend) -> Response:
        """Answer one request of the Model Context Protocol. There are no sessions, and so no GET and no DELETE."""
        _check_page(backend)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            # A browser sends its session with requests of any page.
            raise Unauthenticated("Agents send a token: 'Authorization: Bearer TOKEN'.", reason="missing")
        identity = await require_identity(backend)
        with backend.agents.hold(identity.key):
            body = b"".join([piece async for piece in body_pieces(request, MOST_BODY_BYTES)])
            scope = cast("dict[str, object]", request.scope)
            reply = await backend.agents.answer(scope, token.strip(), identity.expires_at, body)
        kind = next((value.decode("latin-1") for name, value in reply.headers if name.lower() == b"content-type"), "")
        response = Response(reply.body, reply.status, content_type=kind or "application/json")
        if not reply.body:
            del response.headers["Content-Type"]
        return response

    return routes


def _check_page(backend: Backend) -> None:
    """Check that no page of another site sends the request; programs send neither field.

    Raises:
        Forbidden: One does.
    """
    origin = request.headers.get("Origin")
    if origin is None and request.headers.get("Sec-Fetch-Site") is None:
        return
    if origin not in backend.agents.trusted_origins and not is_same_origin(request.scope):
        raise Forbidden("Pages of other sites may not use the tools of agents.", reason="cross_origin")
