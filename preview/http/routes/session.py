"""The browser's session: a one-time link logs in, a button logs out."""

from __future__ import annotations

from quart import Blueprint, Response, redirect, request
from werkzeug.exceptions import NotFound

from preview.http.answers import link, no_content
from preview.http.backend import SESSION_S, backend
from preview.http.identity import require_identity
from preview.proxy.headers import SERVICE_COOKIE

__all__ = ["session_routes"]


def session_routes() -> Blueprint:
    """The routes, relative to the app's root."""
    routes = Blueprint("session", __name__)

    @routes.get("/login/<code>")
    async def login(code: str) -> Response:
        """Log a browser in with a one-time code, and go to the page."""
        if request.method == "HEAD":
            # Previews of links must not use the code up.
            return no_content()
        user = backend().login_codes.redeem(code)
        session = backend().new_session(user)
        if session is None:
            raise NotFound
        response = redirect(link("/"), 303)
        response.set_cookie(
            SERVICE_COOKIE,
            session,
            max_age=SESSION_S,
            path=link("/"),
            httponly=True,
            secure=request.scheme == "https",
            samesite="Strict",
        )
        return response  # type: ignore[return-value]  # Quart's own response class, seen through werkzeug's

    @routes.post("/api/v1/logout")
    async def logout() -> Response:
        """Log the browser out: its cookie is deleted."""
        await require_identity()
        response = no_content()
        response.delete_cookie(SERVICE_COOKIE, path=link("/"), httponly=True, samesite="Strict")
        return response

    return routes
