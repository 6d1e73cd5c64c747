"""Visitors of a preview: its owner, a person with access, or an unknown person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from preview.auth import AccessBook, Grant, Identity, Statement, TokenRole
from preview.errors import Forbidden, Unauthenticated
from preview.http.browser.addresses import PreviewTarget
from preview.http.browser.pages import Field
from preview.proxy.admission import RequestHead
from preview.proxy.headers import ACCESS_COOKIE
from preview.supervisor import LivePreview
from preview.traffic import Who

# RFC 9110 section 9.2.1: these methods request no change.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor, as far as the request identifies them.

    Attributes:
        user_id: User of a valid bearer token; None without one of this service's tokens.
        statement: Content of the valid cookie for this preview; None without one.
        is_led: Whether another origin's page made the browser send the cookie, which then grants nothing.
        token_until: Expiry of the bearer token, in seconds since the epoch.
        revocable: See ``Identity.revocable``.
    """

    user_id: str | None
    statement: Statement | None
    is_led: bool = False
    token_until: float = inf
    revocable: str | None = None

    @property
    def grant(self) -> Grant | None:
        """Access that the cookie grants; None without a valid cookie."""
        return None if self.statement is None else self.statement.grant

    @property
    def is_known(self) -> bool:
        """True if the request carries a valid token or cookie of this service."""
        return self.user_id is not None or self.statement is not None

    @property
    def until(self) -> float:
        """Earliest expiry of its credentials, in seconds since the epoch."""
        return self.token_until if self.grant is None else min(self.token_until, self.grant.expires_at)


async def identify(
    head: RequestHead,
    place: PreviewTarget,
    book: AccessBook,
    authenticate: Callable[[Mapping[str, Any]], Awaitable[Identity | None]],
) -> Visitor:
    """Identify the visitor. A foreign token is left to the preview and is no reason to refuse.

    Cancellation: no state changes.
    """
    statement = _statement(head, place, book)
    is_led = statement is not None and not _is_of_own_origin(head)
    identity = await _bearer(head, authenticate)
    given = None if is_led else statement
    if identity is None:
        return Visitor(None, given, is_led)
    until = identity.expires_at.timestamp()
    return Visitor(identity.user.id, given, is_led, until, identity.revocable)


def has_bearer(head: RequestHead) -> bool:
    """Return whether the request carries a bearer token, of any user."""
    return any(name == b"authorization" and value[:7].lower() == b"bearer " for name, value in head.fields)


async def _bearer(
    head: RequestHead, authenticate: Callable[[Mapping[str, Any]], Awaitable[Identity | None]]
) -> Identity | None:
    given = [field for field in head.fields if field[0] == b"authorization" and field[1][:7].lower() == b"bearer "]
    if len(given) != 1:
        return None
    # Cookies are left out: the service's session cookie, which browsers send automatically, grants no access.
    scope = {
        "type": "http",
        "method": head.method,
        "scheme": head.scheme,
        "path": "/",
        "query_string": b"",
        "headers": given,
        "client": None if head.client is None else (head.client, 0),
    }
    try:
        found = await authenticate(scope)
    except (Unauthenticated, Forbidden):
        return None
    # Any request to a preview may change its data.
    return found if found is not None and found.role.contains(TokenRole.USE) else None


def _statement(head: RequestHead, place: PreviewTarget, book: AccessBook) -> Statement | None:
    """Return the best valid cookie: a script of the preview may have set others of the same name."""
    if place.preview_id is None:
        return None
    name = _cookie_name(head.scheme, place)
    found: Statement | None = None
    for field, value in head.fields:
        if field != b"cookie":
            continue
        for pair in value.split(b";"):
            given, _, content = pair.strip().partition(b"=")
            if given != name:
                continue
            said = book.read_cookie(place.preview_id, content.decode("latin-1"))
            if said is not None and book.holds(said) and (found is None or said.grant.is_owner):
                found = said
    return found


def _is_of_own_origin(head: RequestHead) -> bool:
    """Return whether the request is safe or comes from a page of this origin.

    ``SameSite=Lax`` excludes other sites' pages. But previews below one domain are one site, and any page may open a
    WebSocket. The browser itself prevents other origins from reading responses.
    """
    if head.method in _SAFE and not any(name == b"upgrade" for name, _ in head.fields):
        return True
    said = {name: value.decode("latin-1").lower() for name, value in head.fields}
    origin = said.get(b"origin")
    if origin is None:
        return said.get(b"sec-fetch-site") in (None, "same-origin", "none")
    return origin == f"{head.scheme}://{head.host.lower()}"


def may_look(visitor: Visitor, preview: LivePreview, book: AccessBook) -> bool:
    """Return whether the visitor may see the live preview."""
    is_owner = visitor.user_id == preview.record.user_id
    return is_owner or visitor.statement is not None or book.of(preview.id).public


def who_of(visitor: Visitor, preview: LivePreview) -> Who:
    """Return the kind of visitor, for the record of the request. A bearer token is a program's."""
    if visitor.user_id is not None and visitor.user_id == preview.record.user_id:
        return Who.AGENT
    return Who.OWNER if visitor.grant is not None and visitor.grant.is_owner else Who.VIEWER


def access_cookie(value: str, ttl_s: float, scheme: str, place: PreviewTarget) -> Field:
    """Return ``Set-Cookie`` for this origin and, in the path form, for the preview's path only."""
    path = f"{place.prefix}/"
    secure = "; Secure" if scheme == "https" else ""
    name = _cookie_name(scheme, place).decode()
    text = f"{name}={value}; Max-Age={max(1, int(ttl_s))}; Path={path}; HttpOnly; SameSite=Lax{secure}"
    return b"set-cookie", text.encode()


def _cookie_name(scheme: str, place: PreviewTarget) -> bytes:
    """Return the cookie's name; over TLS, one that no other host or script can set (RFC 6265bis section 4.1.3)."""
    if scheme != "https":
        return ACCESS_COOKIE.encode()
    return f"{'__Secure-' if place.prefix else '__Host-'}{ACCESS_COOKIE}".encode()
