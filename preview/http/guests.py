"""Guests in requests: people whom a share link has admitted to the page of one preview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quart import Request, Websocket

from preview.auth import Guest, Identity
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import Forbidden, PreviewNotFound, Unauthenticated
from preview.http.backend import Backend
from preview.http.core.cookies import SAFE, cookie_in, is_same_origin
from preview.http.roles import ENDS_BY_ITSELF, GUEST_ROUTES
from preview.supervisor import LivePreview

GUEST_COOKIE = "preview_guest"
"""Set for the routes of one generation only: see ``guest_path``."""


def guest_path(generation_id: str) -> str:
    """Return the path below which a guest's cookie is sent. A generation's id needs no escapes in a path."""
    return f"/api/v1/generations/{generation_id}/"


def guest_identity(backend: Backend, asked: Request | Websocket, generation_id: str) -> Identity | None:
    """Return the guest of the generation's live preview, if the guest's role allows this route.

    Returns:
        None if the request is no guest's. The identity has the owner as its user, and ends with the share link.

    Raises:
        Unauthenticated: The guest was removed, or the link has expired or was revoked.
        Forbidden: The role does not allow the route, or another site's page makes the browser send the request.
        PreviewNotFound: The request names another preview than the guest's.
    """
    found = _find(backend, asked.scope, generation_id)
    if found is None:
        return None
    guest, preview = found
    route = asked.endpoint or ""
    if route not in GUEST_ROUTES[guest.role]:
        raise Forbidden(
            f"Your invitation has the role `{guest.role.value}`, which does not allow this; ask the preview's owner.",
            reason="role",
        )
    # A WebSocket has no method and can be opened from any page, so it is not safe.
    if asked.scope.get("method") not in SAFE and not is_same_origin(asked.scope):
        raise Forbidden("Guests may only act from this service's own page.", reason="cross_origin")
    for given in asked.args.getlist("preview_id"):
        if given != preview.id:
            raise PreviewNotFound(f"There is no preview {quoted(given)}.")
    identity = Identity.of_guest(guest, preview.record.user_id)
    if route not in ENDS_BY_ITSELF:
        follow(backend, asked.scope, identity)
    return identity


def known_guest(backend: Backend, scope: Mapping[str, Any], generation_id: str) -> Guest | None:
    """Return the guest of the generation's live preview whom the request's cookie proves; None without one."""
    try:
        found = _find(backend, scope, generation_id)
    except Unauthenticated:
        return None
    return None if found is None else found[0]


def follow(backend: Backend, scope: Mapping[str, Any], identity: Identity) -> None:
    """Let a revocation of this access cut the request off."""
    if identity.revocable is not None:
        backend.people.live_requests.follow(scope, identity.revocable)


def cut_off(backend: Backend, guests: list[Guest]) -> None:
    """End all open requests of guests who have lost their access, and tell their pages."""
    for guest in guests:
        backend.people.presence.audience(guest.preview_id).remove(guest.id)
        backend.people.live_requests.cut(f"guest {guest.id}")


def _find(backend: Backend, scope: Mapping[str, Any], generation_id: str) -> tuple[Guest, LivePreview] | None:
    if not is_valid_id(generation_id):
        return None
    secret = cookie_in(scope, GUEST_COOKIE)
    preview = backend.previews.active(generation_id)
    if secret is None or preview is None:
        return None
    guest = backend.people.guests.find(preview.id, secret)
    return None if guest is None else (guest, preview)
