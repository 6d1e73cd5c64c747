"""The service's own addresses on a preview's host: one-time links, share links, and the waiting page's query."""

from __future__ import annotations

import re

from preview.auth import AuditEntry, Share
from preview.errors import PreviewNotFound, Unauthenticated
from preview.http.backend import Backend
from preview.http.browser.addresses import RESERVED, PreviewTarget
from preview.http.browser.pages import empty_answer, json_answer, redirect_answer
from preview.http.browser.visitors import Visitor, access_cookie, may_look
from preview.proxy.admission import OwnAnswer, RequestHead
from preview.supervisor import LivePreview

# Shorter than the request timeouts of proxies and browsers.
_POLL_S = 20.0
_OPEN = RESERVED + b"open"
_SHARE = RESERVED + b"share"
_STATE = RESERVED + b"state"
_GIVEN = re.compile(rb"(?:^|&)(?:code|token)=([A-Za-z0-9_.-]{1,128})(?=&|$)")


def open_path(code: str) -> str:
    """Return the path, on a preview's own address, that opens it once."""
    return f"{_OPEN.decode()}?code={code}"


def share_path(token: str) -> str:
    """Return the path, on a preview's own address, that opens it while the share link is valid."""
    return f"{_SHARE.decode()}?token={token}"


async def answer_reserved(
    head: RequestHead,
    place: PreviewTarget,
    preview_id: str,
    preview: LivePreview | None,
    visitor: Visitor,
    backend: Backend,
) -> OwnAnswer:
    """Return the response at a reserved address.

    Raises:
        Unauthenticated: The link is not valid.
        PreviewNotFound: The address does not exist.

    Cancellation: no state changes.
    """
    path, _, query = place.target.partition(b"?")
    if head.method in {"GET", "HEAD"} and path in {_OPEN, _SHARE}:
        if head.method == "HEAD" or _is_prefetch(head):
            # Link previews and prefetches must not use a link up.
            return empty_answer()
        return _enter(path, _value(query), head, place, preview_id, preview, visitor, backend)
    if head.method == "GET" and path == _STATE:
        return await _state(preview, visitor, backend)
    raise PreviewNotFound("There is nothing at this address of the service.")


def _enter(
    path: bytes,
    value: str,
    head: RequestHead,
    place: PreviewTarget,
    preview_id: str,
    preview: LivePreview | None,
    visitor: Visitor,
    backend: Backend,
) -> OwnAnswer:
    """Redirect to the clean address and set the access cookie."""
    book, wanted = backend.access, "/"
    try:
        if path == _SHARE:
            share = _live_share(value, preview_id, preview, backend)
            cookie = book.share_cookie(preview_id, share)
            _note(head, preview_id, preview, f"share {share.id}", backend)
        else:
            wanted = book.redeem_link(value, preview_id).path
            _note(head, preview_id, preview, "link", backend)
            cookie = book.owner_cookie(preview_id, backend.settings.access_ttl_s)
    except Unauthenticated:
        if visitor.grant is None:
            raise
        # This browser has used the link before, so it already has access.
        return redirect_answer(303, f"{place.prefix}/".encode())
    fields = [access_cookie(*cookie, head.scheme, place)]
    return redirect_answer(303, f"{place.prefix}{wanted}".encode(), fields)


def _note(head: RequestHead, preview_id: str, preview: LivePreview | None, via: str, backend: Backend) -> None:
    """Let the owner find in the audit trail that somebody has opened the preview."""
    owner = "" if preview is None else preview.record.user_id
    made = AuditEntry.new("visitor", "opened", owner, preview_id=preview_id, via=via, address=head.client or "")
    backend.people.audit.note_soon(made)


def _live_share(token: str, preview_id: str, preview: LivePreview | None, backend: Backend) -> Share:
    share = backend.access.redeem_share(token, preview_id)
    if preview is None:
        raise PreviewNotFound("The preview of this link has ended; ask its sender for a new one.")
    return share


async def _state(preview: LivePreview | None, visitor: Visitor, backend: Backend) -> OwnAnswer:
    """Return ``{"state"}`` as soon as the state is no longer ``starting``, or after a time limit."""
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
