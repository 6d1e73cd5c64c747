"""The few addresses on a preview's host that are the service's own: the ways in, and what the waiting page asks."""

from __future__ import annotations

import re

from preview.auth import Share
from preview.errors import PreviewNotFound, Unauthenticated
from preview.http.backend import Backend
from preview.http.browser.pages import empty_answer, json_answer, redirect_answer
from preview.http.browser.places import RESERVED, Place
from preview.http.browser.visitors import Visitor, access_cookie, may_look
from preview.proxy.admission import OwnAnswer, RequestHead
from preview.supervisor import LivePreview

# Below what proxies and browsers let a request wait.
_POLL_S = 20.0
_OPEN = RESERVED + b"open"
_SHARE = RESERVED + b"share"
_STATE = RESERVED + b"state"
_GIVEN = re.compile(rb"(?:^|&)(?:code|token)=([A-Za-z0-9_.-]{1,128})(?=&|$)")


def open_path(code: str) -> str:
    """On a preview's own address: opens it once."""
    return f"{_OPEN.decode()}?code={code}"


def share_path(token: str) -> str:
    """On a preview's own address: opens it for as long as the share link is good."""
    return f"{_SHARE.decode()}?token={token}"


async def answer_reserved(
    head: RequestHead,
    place: Place,
    preview_id: str,
    preview: LivePreview | None,
    visitor: Visitor,
    backend: Backend,
) -> OwnAnswer:
    """Return the answer at one of these addresses.

    Raises:
        Unauthenticated: The link is none that is good.
        PreviewNotFound: There is no such address.

    Cancellation: nothing changes.
    """
    path, _, query = place.target.partition(b"?")
    if head.method in {"GET", "HEAD"} and path in {_OPEN, _SHARE}:
        if head.method == "HEAD" or _is_prefetch(head):
            # Previews of links must not use them up.
            return empty_answer()
        return _enter(path, _value(query), head, place, preview_id, preview, visitor, backend)
    if head.method == "GET" and path == _STATE:
        return await _state(preview, visitor, backend)
    raise PreviewNotFound("There is nothing at this address of the service.")


def _enter(
    path: bytes,
    value: str,
    head: RequestHead,
    place: Place,
    preview_id: str,
    preview: LivePreview | None,
    visitor: Visitor,
    backend: Backend,
) -> OwnAnswer:
    """To the clean address, with a cookie for it."""
    book, wanted = backend.access, "/"
    try:
        if path == _SHARE:
            cookie = book.share_cookie(preview_id, _live_share(value, preview_id, preview, backend))
        else:
            wanted = book.redeem_link(value, preview_id).path
            cookie = book.owner_cookie(preview_id, backend.settings.access_ttl_s)
    except Unauthenticated:
        if visitor.grant is None:
            raise
        # A link that was used before, by this browser: it is in already.
        return redirect_answer(303, f"{place.prefix}/".encode())
    fields = [access_cookie(*cookie, head.scheme, place)]
    return redirect_answer(303, f"{place.prefix}{wanted}".encode(), fields)


def _live_share(token: str, preview_id: str, preview: LivePreview | None, backend: Backend) -> Share:
    share = backend.access.redeem_share(token, preview_id)
    if preview is None:
        raise PreviewNotFound("The preview of this link has ended; ask its sender for a new one.")
    return share


async def _state(preview: LivePreview | None, visitor: Visitor, backend: Backend) -> OwnAnswer:
    """``{"state"}``, as soon as it is no longer ``starting``."""
    if preview is None or not may_look(visitor, preview, backend.access):
        raise PreviewNotFound("There is no such preview here, or it has ended.")
    with backend.waits.until(_POLL_S):
        await preview.settled.wait()
    return json_answer({"state": preview.record.state.value})


def _value(query: bytes) -> str:
    """Return the link's value; empty if malformed. People who pass links on may add to the query."""
    found = _GIVEN.search(query)
    return "" if found is None else found[1].decode()


def _is_prefetch(head: RequestHead) -> bool:
    """Return whether a browser only prefetches (``Sec-Purpose: prefetch``)."""
    return any(name in {b"sec-purpose", b"purpose"} and b"prefetch" in value for name, value in head.fields)
