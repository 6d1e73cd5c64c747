"""Authentication and authorization: bearer token, browser session, owner of a generation."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from quart import Request, Websocket, request

from preview.auth import Authenticator, Identity
from preview.core.ids import is_valid_id
from preview.errors import Forbidden, GenerationNotFound, NoActivePreview, Unauthenticated
from preview.generations import Generation
from preview.http.backend import Backend
from preview.proxy.headers import SERVICE_COOKIE
from preview.supervisor import LivePreview

# RFC 9110 section 9.2.1: these methods request no change.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class TokenAuthenticate:
    """Authenticates by ``Authorization: Bearer`` (RFC 6750), or by the session cookie that ``/login`` sets.

    Browsers send a cookie with every request to this host, from any page. So an unsafe request with a cookie must come
    from this service's page (``Sec-Fetch-Site``, or ``Origin`` from an old browser).

    Args:
        authenticator: Checks the token of either.
        cookie: Name of the cookie, see ``session_cookie_name``.
        trusted_origins: Further origins whose pages may use the cookie for changes.
    """

    def __init__(
        self, authenticator: Authenticator, cookie: str, *, trusted_origins: frozenset[str] = frozenset()
    ) -> None:
        self._authenticator = authenticator
        self._cookie = cookie
        self._trusted_origins = trusted_origins

    async def __call__(self, scope: Mapping[str, Any]) -> Identity | None:
        """Return the identity, or None if the request carries no token. Cancellation: no state changes."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("The Authorization header is not a bearer token; send 'Bearer TOKEN'.")
            return await self._authenticator.authenticate(token.strip())
        session = _session_cookie(scope, self._cookie)
        if session is None:
            return None
        is_ours = _is_same_origin(headers) or headers.get(b"origin") in self._trusted_origins
        # A WebSocket has no method and can be opened from any page, so it is not safe.
        if scope.get("method") not in _SAFE and not is_ours:
            raise Forbidden(
                "A browser session may only change things from this service's own page; send a bearer token instead.",
                reason="cross_origin",
            )
        return await self._authenticator.authenticate(session)


def session_cookie_name(secret: str | None) -> str:
    """Return the session cookie's name: stable across restarts, different for each service.

    Browsers send a host's cookies to all its ports (RFC 6265 section 8.5). With one name, two services on a machine
    would log each other's users out.

    Args:
        secret: Secret that signs this service's tokens; None if it makes no sessions.
    """
    if secret is None:
        return SERVICE_COOKIE
    key = secret.encode("utf-8", "surrogateescape")
    return f"{SERVICE_COOKIE}_{hmac.new(key, b'name of the session cookie', hashlib.sha256).hexdigest()[:8]}"


def _session_cookie(scope: Mapping[str, Any], cookie: str) -> str | None:
    for name, value in scope["headers"]:
        if name.lower() != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            try:
                found = SimpleCookie(pair.strip()).get(cookie)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return None


def _is_same_origin(headers: Mapping[bytes, str]) -> bool:
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin, host = headers.get(b"origin"), headers.get(b"host")
    if origin is None or not host:
        return False
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # half of an IPv6 address, for example
        return False


async def require_identity(backend: Backend, asked: Request | Websocket | None = None) -> Identity:
    """Return the identity of the current request, or of the given WebSocket handshake.

    Raises:
        Unauthenticated: The request carries no token, or an invalid one.
        Forbidden: A cross-origin request uses a browser session.

    Cancellation: no state changes.
    """
    identity = await backend.authenticate((asked or request).scope)
    if identity is None:
        raise Unauthenticated("Send a token: 'Authorization: Bearer TOKEN'.", reason="missing")
    return identity


async def own_generation(backend: Backend, generation_id: str) -> tuple[Identity, Generation]:
    """Return the caller, and the generation that they own.

    Raises:
        Unauthenticated, Forbidden: See ``require_identity``; also if the generation belongs to another user.
        GenerationNotFound: There is no such generation.

    Cancellation: no state changes.
    """
    identity = await require_identity(backend)
    return identity, await owned_by(backend, identity.user.id, generation_id)


async def own_preview(backend: Backend, generation_id: str) -> LivePreview:
    """Return the live preview of a generation that the caller owns; it may still be starting.

    Raises:
        Unauthenticated, Forbidden, GenerationNotFound: See ``own_generation``.
        NoActivePreview: The generation has no preview.

    Cancellation: no state changes.
    """
    await own_generation(backend, generation_id)
    active = backend.previews.active(generation_id)
    if active is None:
        raise NoActivePreview("The generation has no preview now; launch it first.")
    return active


async def owned_by(backend: Backend, user_id: str, generation_id: str) -> Generation:
    """Return the generation if it belongs to this user.

    Raises:
        GenerationNotFound: There is no such generation.
        Forbidden: The generation belongs to another user.

    Cancellation: no state changes.
    """
    if not is_valid_id(generation_id):
        raise GenerationNotFound("There is no such generation.")
    generation = await backend.service.generations.get(generation_id)
    if generation.user_id != user_id:
        raise Forbidden("This generation belongs to another user.")
    return generation
