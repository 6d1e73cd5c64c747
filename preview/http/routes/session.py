"""The browser's session: a one-time link logs in, a button logs out."""

from __future__ import annotations

from quart import Blueprint, Response, redirect, request
from werkzeug.exceptions import NotFound
from werkzeug.sansio.response import Response as AnyResponse

from preview.core.clock import utc_now
from preview.errors import Unauthenticated
from preview.http.backend import SESSION_S, backend
from preview.http.contracts import v1
from preview.http.core.answers import json_answer, link, no_content
from preview.http.identity import require_identity


def session_routes() -> Blueprint:
    """The routes, relative to the app's root."""
    routes = Blueprint("session", __name__)

    @routes.get("/login/<code>")
    async def login(code: str) -> Response:
        """Log a browser in with a one-time code, and go to the page."""
        if request.method == "HEAD":
            # Previews of links must not use the code up.
            return no_content()
        try:
            user = backend().login_codes.redeem(code)
        except Unauthenticated:
            if not _is_browser():
                raise
            # A person gets a page with a way on, and that page the reason.
            return redirect(link("/?login=used"), 303)  # type: ignore[return-value]  # see below
        session = backend().new_session(user)
        if session is None:
            raise NotFound
        response = redirect(link("/"), 303)
        _keep(response, session, SESSION_S)
        return response  # type: ignore[return-value]  # Quart's own response class, seen through werkzeug's

    @routes.get("/api/v1/session")
    async def who() -> Response:
        """Who is asking: what the page shows, and how it learns whether anybody is logged in."""
        return json_answer(v1.session(await require_identity()))

    @routes.post("/api/v1/session")
    async def exchange() -> Response:
        """Trade the bearer token of this request for a session cookie that no script can read.

        The session ends no later than the token.
        """
        identity = await require_identity()
        ttl_s: float = SESSION_S
        if identity.expires_at is not None:
            ttl_s = min(ttl_s, (identity.expires_at - utc_now()).total_seconds())
        session = backend().new_session(identity.user, max(ttl_s, 1))
        if session is None:
            # Tokens are made elsewhere, and so are sessions: the page keeps the token in memory.
            raise NotFound
        response = json_answer(v1.session(identity))
        _keep(response, session, ttl_s)
        return response

    @routes.post("/api/v1/logout")
    async def logout() -> Response:
        """Log the browser out: its cookie is deleted."""
        await require_identity()
        response = no_content()
        response.delete_cookie(backend().session_cookie, path=link("/"), httponly=True, samesite="Strict")
        return response

    return routes


def _is_browser() -> bool:
    """Whether the request is for a page to look at: programs ask for JSON, or do not say."""
    accepted = request.accept_mimetypes
    return "text/html" in accepted.values() and accepted["text/html"] >= accepted["application/json"]


def _keep(response: AnyResponse, session: str, ttl_s: float) -> None:
    response.set_cookie(
        backend().session_cookie,
        session,
        max_age=int(ttl_s),
        path=link("/"),
        httponly=True,
        secure=request.scheme == "https",
        samesite="Strict",
    )
