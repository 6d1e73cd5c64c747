"""Authentication and authorization: bearer token, browser session, owner of a generation."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from quart import Request, Websocket, request

from preview.auth import ApiTokens, Authenticator, Identity
from preview.auth.api_tokens import PREFIX
from preview.auth.members import Members
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import Forbidden, GenerationNotFound, NoActivePreview, Unauthenticated
from preview.generations import Generation
from preview.http.audited import remember_caller
from preview.http.backend import Backend
from preview.http.core.cookies import SAFE, cookie_in, fields_of, is_same_origin
from preview.http.guests import follow, guest_identity
from preview.http.people import is_operator
from preview.http.roles import MEMBER_ROUTES, role_needed
from preview.logs import Contract
from preview.proxy.headers import SERVICE_COOKIE
from preview.supervisor import LivePreview


class TokenAuthenticate:
    """Authenticates by ``Authorization: Bearer`` (RFC 6750), or by the session cookie that ``/login`` sets.

    Browsers send a cookie with every request to this host, from any page. So an unsafe request with a cookie must come
    from this service's page (``Sec-Fetch-Site``, or ``Origin`` from an old browser).

    Args:
        authenticator: Checks the token of either.
        cookie: Name of the cookie, see ``session_cookie_name``.
        trusted_origins: Further origins whose pages may use the cookie for changes.
        api_tokens: Tokens that users have made here.
        members: People whom invitations have admitted; each request checks that they still are.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        cookie: str,
        *,
        trusted_origins: frozenset[str] = frozenset(),
        api_tokens: ApiTokens | None = None,
        members: Members | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._members = members
        self._api_tokens = api_tokens
        self._cookie = cookie
        self._trusted_origins = trusted_origins

    async def __call__(self, scope: Mapping[str, Any]) -> Identity | None:
        """Return the identity, or None if the request carries no token. Cancellation: no state changes."""
        identity = await self._proven(scope)
        return identity if identity is None or self._members is None else await self._members.checked(identity)

    async def _proven(self, scope: Mapping[str, Any]) -> Identity | None:
        """Return the identity that the request's token or session proves."""
        headers = fields_of(scope)
        given = headers.get(b"authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() != "bearer" or not token.strip():
                raise Unauthenticated("The Authorization header is not a bearer token; send 'Bearer TOKEN'.")
            token = token.strip()
            if self._api_tokens is not None and token.startswith(PREFIX):
                return await self._api_tokens.authenticate(token)
            return await self._authenticator.authenticate(token)
        session = cookie_in(scope, self._cookie)
        if session is None:
            return None
        is_ours = is_same_origin(scope) or headers.get(b"origin") in self._trusted_origins
        # A WebSocket has no method and can be opened from any page, so it is not safe.
        if scope.get("method") not in SAFE and not is_ours:
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


async def require_identity(backend: Backend, asked: Request | Websocket | None = None) -> Identity:
    """Return the identity of the current request, or of the given WebSocket handshake.

    Raises:
        Unauthenticated: The request carries no token, or an invalid one.
        Forbidden: A cross-origin request uses a browser session, or the API token's role does not allow this route.

    Cancellation: no state changes.
    """
    given: Request | Websocket = asked or request
    scope = given.scope
    identity = await backend.authenticate(scope)
    if identity is None:
        raise Unauthenticated("Send a token: 'Authorization: Bearer TOKEN'.", reason="missing")
    remember_caller(backend.people.audit, given, identity, backend.live_preview_id)
    _check_role(identity, given)
    follow(backend, scope, identity)
    return identity


def _check_role(identity: Identity, asked: Request | Websocket) -> None:
    """Check that the role of the caller's API token, or of an invited caller, allows this route.

    Raises:
        Forbidden: It does not.
    """
    needed = role_needed(asked.endpoint)
    if identity.role.contains(needed):
        return
    if identity.token_id is not None:
        raise Forbidden(
            f"This API token has the role `{identity.role.value}`; this needs a token with the role `{needed.value}`.",
            reason="role",
        )
    if asked.endpoint not in MEMBER_ROUTES:
        raise Forbidden(
            f"Your invitation has the role `{identity.role.value}`; this needs the role `{needed.value}`. "
            "Ask an operator for another invitation.",
            reason="role",
        )


async def require_account(backend: Backend) -> Identity:
    """Return the identity of the current request, which is no API token: those make no tokens and no sessions.

    Raises:
        Unauthenticated, Forbidden: See ``require_identity``; also for an API token.

    Cancellation: no state changes.
    """
    identity = await require_identity(backend)
    if identity.token_id is not None:
        raise Forbidden("An API token cannot make or show tokens and sessions; log in instead.", reason="api_token")
    return identity


async def require_operator(backend: Backend) -> Identity:
    """Return the caller, who is an operator; API tokens are not enough.

    Raises:
        Unauthenticated, Forbidden: The caller is nobody, or no operator.

    Cancellation: no state changes.
    """
    identity = await require_account(backend)
    if not is_operator(backend.settings, identity, backend.secret):
        raise Forbidden("Only operators may do this; PREVIEW_OPERATORS lists their ids.", reason="operator")
    return identity


async def own_generation(
    backend: Backend, generation_id: str, asked: Request | Websocket | None = None, *, in_contract: bool = False
) -> tuple[Identity, Generation]:
    """Return the caller, and the generation that they own, or whose live preview they watch as a guest.

    A guest gets here on the routes of the guest's role only (see ``preview.http.roles``).

    Args:
        backend: The service.
        generation_id: The generation.
        asked: The request, by default the current one.
        in_contract: See ``owned_by``.

    Raises:
        Unauthenticated: See ``require_identity``.
        Forbidden, GenerationNotFound: See ``require_identity`` and ``owned_by``.

    Cancellation: no state changes.
    """
    given: Request | Websocket = asked or request
    try:
        identity = await require_identity(backend, given)
        generation = await owned_by(backend, identity.user.id, generation_id, in_contract=in_contract)
    except (Unauthenticated, Forbidden, GenerationNotFound) as error:
        if error.details.get("reason") == "cross_origin":
            raise
        guest = guest_identity(backend, given, generation_id)
        if guest is None:
            raise
    else:
        await _check_contract(backend, given, identity, generation.project_id)
        return identity, generation
    found = await owned_by(backend, guest.user.id, generation_id, in_contract=in_contract)
    remember_caller(backend.people.audit, given, guest, backend.live_preview_id)
    return guest, found


async def own_live(backend: Backend, generation_id: str) -> Identity:
    """Return the caller like ``own_generation`` in a contract, but without the database while a preview is live.

    A live preview's user owns its generation, since nobody else may launch it.

    Raises:
        Unauthenticated, Forbidden, GenerationNotFound: See ``own_generation``.

    Cancellation: no state changes.
    """
    preview = backend.previews.active(generation_id)
    identity: Identity | None = None
    if preview is not None:
        # A guest may have an old session, too: the other function decides.
        with suppress(Unauthenticated, Forbidden):
            found = await backend.authenticate(request.scope)
            if found is not None:
                _check_role(found, request)
                identity = found
    if identity is None or preview is None or preview.record.user_id != identity.user.id:
        return (await own_generation(backend, generation_id, in_contract=True))[0]
    await _check_contract(backend, request, identity, preview.record.project_id)
    follow(backend, request.scope, identity)
    return identity


async def _check_contract(backend: Backend, asked: Request | Websocket, identity: Identity, project_id: str) -> None:
    """Check that the caller may use the contract of this route. Stops are not checked: see ``_own_to_stop``.

    Raises:
        ContractNotOffered: A flag gives the caller only the contract `v1`.

    Cancellation: no state changes.
    """
    blueprint = asked.blueprint or ""
    if blueprint == Contract.PLAN.value or blueprint.startswith(f"{Contract.PLAN.value}_"):
        user = identity.user
        await backend.service.rollout.check_contract(user.id, user.tier, project_id)


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


async def owned_by(backend: Backend, user_id: str, generation_id: str, *, in_contract: bool = False) -> Generation:
    """Return the generation if it belongs to this user.

    Args:
        backend: The service.
        user_id: The user.
        generation_id: The generation.
        in_contract: True for the routes of the two contracts, which say 403 for another user's generation. On all
            other routes there is no such generation, so nobody learns of it.

    Raises:
        GenerationNotFound: There is no such generation for this user.
        Forbidden: The generation belongs to another user.

    Cancellation: no state changes.
    """
    if not is_valid_id(generation_id):
        raise GenerationNotFound("There is no such generation.")
    generation = await backend.service.generations.get(generation_id)
    if generation.user_id == user_id:
        return generation
    if in_contract:
        raise Forbidden("This generation belongs to another user.")
    # The same words as for an unknown id.
    raise GenerationNotFound(f"There is no generation {quoted(generation_id)}.")
