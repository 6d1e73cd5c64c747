"""The route that opens a WebSocket of a preview for the page (endpoint call)."""

from __future__ import annotations

from quart import Blueprint, Response, websocket

from preview.errors import NoActivePreview, UpgradeRequired
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.identity import own_generation
from preview.http.protocol.strict_ws import peer_in
from preview.http.streams.call_socket import CallSocket
from preview.traffic import Who


def call_socket_routes(running: Running) -> Blueprint:
    """Return the routes, relative to ``/api/v1/generations/<generation_id>``."""
    routes = BackendRoutes("call_sockets", running)

    @routes.get("/preview/socket")
    async def socket(backend: Backend, generation_id: str) -> Response:
        """Open a WebSocket of the running preview, carried by this service.

        This address speaks WebSocket (RFC 6455). The client's first message names the path on the preview; docs/api.md
        has the messages of both sides.
        """
        await own_generation(backend, generation_id)
        raise UpgradeRequired("This address speaks WebSocket; open it with a WebSocket client.")

    @routes.websocket("/preview/socket")
    async def talk(backend: Backend, generation_id: str) -> None:
        """Carry messages between the client and the preview. A refusal is an ordinary response."""
        asked = websocket._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  used in this package's tasks
        identity, _ = await own_generation(backend, generation_id, asked)
        preview = backend.previews.active(generation_id)
        if preview is None or preview.address is None:
            raise NoActivePreview("The preview is not running; launch it, or wait until it is healthy.")
        who = Who.AGENT if asked.headers.get("Authorization") else Who.OWNER
        if identity.guest is not None:
            backend.people.presence.audience(preview.id).requests.spend(identity.key)
            who = Who.VIEWER
        with backend.slots.hold(identity.key):
            await asked.accept()
            peer = peer_in(asked.scope)
            if peer is not None:
                # JSON may use six characters for one of text.
                peer.bound_messages(6 * backend.settings.websocket_message_bytes)
            await CallSocket(asked, preview, backend.settings, who=who, draining=backend.service.draining).run(
                preview.address
            )

    return routes
