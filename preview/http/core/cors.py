"""Which other origins' pages may use the API (CORS, Fetch standard section 3.2): none, unless the settings say so."""

from __future__ import annotations

from collections.abc import Mapping

from preview.settings import Settings

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    # By name: a "*" does not cover Authorization.
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, Prefer, X-Preview-Token",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Location, Preference-Applied, Retry-After, WWW-Authenticate"


class Cors:
    """The answers' fields for pages of other origins.

    Args:
        settings: Origins, and whether they may act with cookies.
    """

    def __init__(self, settings: Settings) -> None:
        self._origins = frozenset(settings.cors_origins)
        self._any = "*" in self._origins
        self._credentials = settings.cors_credentials

    @property
    def trusted_origins(self) -> frozenset[str]:
        """Origins whose pages may act with a session's cookie."""
        return self._origins if self._credentials else frozenset()

    def fields(self, origin: str | None) -> Mapping[str, str]:
        """Fields for an answer to a page of this origin (None: the request names none)."""
        if not self._origins:
            return {}
        if self._any:
            return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED}
        # Also where the origin is refused: a cache must not hand one's answer to another.
        vary = {"Vary": "Origin"}
        if origin is None or origin not in self._origins:
            return vary
        allowed = {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _EXPOSED}
        credentials = {"Access-Control-Allow-Credentials": "true"} if self._credentials else {}
        return vary | allowed | credentials

    def preflight(self, method: str, origin: str | None, asked: str | None) -> Mapping[str, str] | None:
        """Fields for the answer to a preflight; None where it is none, or not an allowed one.

        Args:
            method: Of the request.
            origin: Its ``Origin``.
            asked: Its ``Access-Control-Request-Method``.
        """
        if method != "OPTIONS" or origin is None or asked is None:
            return None
        fields = self.fields(origin)
        return {**fields, **_PREFLIGHT} if "Access-Control-Allow-Origin" in fields else None
