"""Sessions of browsers: by a one-time link, by a token, or by signing in at an identity provider."""

from __future__ import annotations

from datetime import timedelta

from quart import Blueprint, Response, redirect, request
from werkzeug.exceptions import NotFound
from werkzeug.sansio.response import Response as AnyResponse

from preview.auth import Identity
from preview.auth.members import MEMBER_SESSION_S
from preview.auth.oidc import SIGN_IN_S, SignIn
from preview.core.clock import utc_now
from preview.errors import Unauthenticated
from preview.http.audited import address_of, remember_caller
from preview.http.backend import SESSION_S, Backend, BackendRoutes, Running
from preview.http.contracts import v1
from preview.http.core.answers import is_encrypted, json_answer, link, no_content, own_address
from preview.http.identity import require_account, require_identity
from preview.user import User

_PROVIDER_PATH = "/login/oidc"


def session_routes(running: Running) -> Blueprint:
    """Return the routes, relative to the app's root."""
    routes = BackendRoutes("session", running)

    @routes.get("/login/<code>")
    async def login(backend: Backend, code: str) -> Response:
        """Log a browser in with a one-time code, and redirect to the page."""
        if request.method == "HEAD":
            # Link previews must not use the code up.
            return no_content()
        try:
            user = backend.login_codes.redeem(code)
        except Unauthenticated as error:
            return _refused(error)
        session = backend.new_session(user)
        if session is None:
            raise NotFound
        _remember(backend, user)
        response = redirect(link("/"), 303)
        keep_session(backend, response, session, SESSION_S)
        return response  # type: ignore[return-value]  # Quart's own response class, typed as werkzeug's

    @routes.get(_PROVIDER_PATH)
    async def at_provider(backend: Backend) -> Response:
        """Redirect a browser to the identity provider, to sign in there."""
        sign_in = _sign_in(backend)
        if request.method == "HEAD":
            return no_content()
        try:
            address, kept = await sign_in.begin(_callback(backend))
        except Unauthenticated as error:
            return _refused(error)
        response = redirect(address, 303)
        response.set_cookie(
            _kept_cookie(backend),
            kept,
            max_age=SIGN_IN_S,
            path=link(_PROVIDER_PATH),
            httponly=True,
            secure=is_encrypted(backend.settings.public_url),
            # The provider sends the browser back from another site.
            samesite="Lax",
        )
        return response  # type: ignore[return-value]  # as above

    @routes.get(f"{_PROVIDER_PATH}/callback")
    async def from_provider(backend: Backend) -> Response:
        """Log a browser in that comes back from the identity provider, and redirect to the page."""
        sign_in = _sign_in(backend)
        if request.method == "HEAD":
            return no_content()
        try:
            query = request.query_string.decode("ascii", "replace")
            cookie = request.cookies.get(_kept_cookie(backend), "")
            user = await sign_in.finish(_callback(backend), query, cookie, address=address_of(request.scope))
        except Unauthenticated as error:
            return _refused(error)
        session = backend.new_session(user)
        if session is None:
            raise NotFound
        _remember(backend, user)
        response = redirect(link("/"), 303)
        keep_session(backend, response, session, SESSION_S)
        response.delete_cookie(_kept_cookie(backend), path=link(_PROVIDER_PATH), httponly=True, samesite="Lax")
        return response  # type: ignore[return-value]  # as above

    @routes.get("/api/v1/session")
    async def who(backend: Backend) -> Response:
        """Return the session's user, for the page to show. An invited person's session is renewed."""
        identity = await require_identity(backend)
        response = json_answer(v1.Session.of(identity))
        _renew(backend, response, identity)
        return response

    @routes.post("/api/v1/session")
    async def exchange(backend: Backend) -> Response:
        """Exchange the bearer token of this request for a session cookie that no script can read.

        The session ends no later than the token.
        """
        identity = await require_account(backend)
        ttl_s: float = MEMBER_SESSION_S if identity.is_member else SESSION_S
        if identity.expires_at is not None:
            ttl_s = min(ttl_s, (identity.expires_at - utc_now()).total_seconds())
        session = backend.new_session(identity.user, max(ttl_s, 1))
        if session is None:
            # If tokens come from elsewhere, there are no sessions: the page keeps the token in memory.
            raise NotFound
        response = json_answer(v1.Session.of(identity))
        keep_session(backend, response, session, ttl_s)
        return response

    @routes.post("/api/v1/logout")
    async def logout(backend: Backend) -> Response:
        """Log the browser out: its cookie is deleted."""
        await require_identity(backend)
        response = no_content()
        response.delete_cookie(backend.session_cookie, path=link("/"), httponly=True, samesite="Strict")
        return response

    return routes


def _remember(backend: Backend, user: User) -> None:
    """Let the audit trail have a sign-in that has just succeeded."""
    identity = Identity(user, utc_now() + timedelta(seconds=SESSION_S))
    remember_caller(backend.people.audit, request, identity, backend.live_preview_id)


def _renew(backend: Backend, response: AnyResponse, identity: Identity) -> None:
    """Renew the session of an invited person, half of whose lifetime is over: that person has no other way in."""
    is_session = identity.is_member and identity.token_id is None and "Authorization" not in request.headers
    if is_session and identity.expires_at < utc_now() + timedelta(seconds=MEMBER_SESSION_S / 2):
        session = backend.new_session(identity.user, MEMBER_SESSION_S)
        if session is not None:
            keep_session(backend, response, session, MEMBER_SESSION_S)


def _sign_in(backend: Backend) -> SignIn:
    if backend.people.sign_in is None or backend.secret is None:
        raise NotFound
    return backend.people.sign_in


def _callback(backend: Backend) -> str:
    """Return this service's address for the provider's answer, as a browser knows it."""
    return f"{own_address(backend.settings.public_url)}{_PROVIDER_PATH}/callback"


def _kept_cookie(backend: Backend) -> str:
    return f"{backend.session_cookie}_sign_in"


def _refused(error: Unauthenticated) -> Response:
    """Redirect a person to the page, which explains the reason; a program gets the error."""
    if not _is_browser():
        raise error
    return redirect(link(f"/?login={error.details['reason']}"), 303)  # type: ignore[return-value]  # see below


def _is_browser() -> bool:
    """Return whether the client wants an HTML page: programs ask for JSON, or do not say."""
    accepted = request.accept_mimetypes
    return "text/html" in accepted.values() and accepted["text/html"] >= accepted["application/json"]


def keep_session(backend: Backend, response: AnyResponse, session: str, ttl_s: float) -> None:
    """Set the session's cookie. A proxy that does not forward the scheme must not make it one for plain HTTP."""
    response.set_cookie(
        backend.session_cookie,
        session,
        max_age=int(ttl_s),
        path=link("/"),
        httponly=True,
        secure=is_encrypted(backend.settings.public_url),
        samesite="Strict",
    )
