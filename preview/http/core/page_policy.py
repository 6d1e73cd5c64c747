"""The Content-Security-Policy of the service's own pages, and CORS.

Public previews have addresses below the pages' own origin (``/p/preview_…/``), so ``'self'`` would let injected markup
load their scripts and styles. A nonce (CSP3 section 7.1) is valid for one response, and markup cannot guess it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from preview.settings import Settings

# CSP3 section 7.1 requires at least 128 bits.
_NONCE_BYTES = 18


def new_nonce() -> str:
    """Return a nonce for one response; its characters need no escape in HTML or in a header."""
    return secrets.token_urlsafe(_NONCE_BYTES)


def page_policy(nonce: str) -> str:
    """Return the policy of a page whose own elements carry this nonce.

    Scripts may load further parts of the page (``'strict-dynamic'``); images are ``data:``; requests go to the page's
    own origin. No site may frame the page, and the page frames only its own inline documents (``srcdoc``).
    """
    return (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    # Named, because "*" does not cover Authorization.
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, Prefer, X-Preview-Token",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Location, Preference-Applied, Retry-After, WWW-Authenticate"


class Cors:
    """Response fields for pages of other origins.

    Args:
        settings: Allowed origins, and whether they may use cookies.
    """

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any = "*" in self._origins
        self._credentials = settings.cors_credentials

    @property
    def trusted_origins(self) -> frozenset[str]:
        """Origins whose pages may use a session's cookie."""
        return self._origins if self._credentials else frozenset()

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """Return the fields for a response to a page of this origin (None: the request names none)."""
        if not self._origins:
            return {}
        if self._any:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED}
        # Also for a refused origin: a cache must not give one origin's response to another.
        vary = {"Vary": "Origin"}
        if origin is None or origin not in self._origins:
            return vary
        allowed = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}
        credentials = {"Access-Control-Allow-Credentials": "true"} if self._credentials else {}
        return vary | allowed | credentials

    def preflight(self, method: str, origin: str | None, asked: str | None) -> Mapping[str, str] | None:
        """Return the fields for the response to a preflight; None if it is not an allowed preflight.

        Args:
            method: HTTP method of the request.
            origin: ``Origin`` of the request.
            asked: ``Access-Control-Request-Method`` of the request.
        """
        if method != "OPTIONS" or origin is None or asked is None:
            return None
        fields = self.fields(origin)
        return {**fields, **_PREFLIGHT} if "Access-Control-Allow-Origin" in fields else None
