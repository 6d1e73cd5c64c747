"""Who may look at a generation's preview in a browser: links to open it, links to share, or everybody (``v1`` only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from quart import Blueprint, Response, current_app, request

from preview.auth import OpenLink, Share
from preview.core.quoting import quoted
from preview.errors import NoActivePreview, ShareNotFound
from preview.http.backend import backend
from preview.http.browser.entry import open_path, share_path
from preview.http.contracts import v1
from preview.http.contracts.facts import Json
from preview.http.core.answers import json_answer, no_content
from preview.http.core.bodies import AccessBody, OpenBody, ShareBody
from preview.http.core.reading import read_json
from preview.http.identity import own_generation
from preview.supervisor import LivePreview

if TYPE_CHECKING:
    from preview.http.app import PreviewApp

_BODY_BYTES = 64 * 1024


def browser_routes() -> Blueprint:
    """The routes, relative to ``/api/v1``."""
    routes = Blueprint("browser", __name__)

    @routes.post("/generations/<generation_id>/preview/open")
    async def open_(generation_id: str) -> Response:
        """A link that opens the preview in your browser, once.

        It holds a short-lived code, sets a cookie for the preview's own address and goes on to that, without the code.
        """
        preview = await _own_preview(generation_id)
        body = await read_json(request, OpenBody, limit_bytes=_BODY_BYTES)
        book, settings = backend().access, backend().settings
        code = book.new_link(preview.record.user_id, OpenLink(preview.id, body.path))
        address = _address(preview)
        return json_answer(v1.open_link(f"{address}{open_path(code)}", f"{address}/", settings.open_link_ttl_s))

    @routes.post("/generations/<generation_id>/preview/share")
    async def share(generation_id: str) -> Response:
        """A link to pass on: good until it expires, is revoked, or the preview ends.

        `expires_at` says until when: a longer time than the service allows is shortened.
        """
        preview = await _own_preview(generation_id)
        body = await read_json(request, ShareBody, limit_bytes=_BODY_BYTES)
        made = backend().access.new_share(preview.id, min(body.expires_in, backend().settings.share_max_s))
        return json_answer(v1.share_link(made, _share_url(preview, made)), 201)

    @routes.get("/generations/<generation_id>/preview/access")
    async def access(generation_id: str) -> Response:
        """Who may look at the preview in a browser, and by which share links."""
        return json_answer(_shown(await _own_preview(generation_id)))

    @routes.put("/generations/<generation_id>/preview/access")
    async def set_access(generation_id: str) -> Response:
        """Let anybody look at the preview who knows its address, or not any more."""
        preview = await _own_preview(generation_id)
        body = await read_json(request, AccessBody, limit_bytes=_BODY_BYTES)
        backend().access.set_public(preview.id, body.public)
        return json_answer(_shown(preview))

    @routes.delete("/generations/<generation_id>/preview/access")
    async def revoke_access(generation_id: str) -> Response:
        """Take everything back: public, each share link, and the access of each browser, your own among them."""
        preview = await _own_preview(generation_id)
        backend().access.revoke_all(preview.id)
        return no_content()

    @routes.delete("/generations/<generation_id>/preview/share/<share_id>")
    async def revoke_share(generation_id: str, share_id: str) -> Response:
        """Revoke a share link: browsers that came by it are out at once."""
        preview = await _own_preview(generation_id)
        if not backend().access.revoke_share(preview.id, share_id):
            raise ShareNotFound(f"The preview has no share link {quoted(share_id)}.")
        return no_content()

    return routes


async def _own_preview(generation_id: str) -> LivePreview:
    """The generation's preview, which lives; it may be starting."""
    await own_generation(generation_id)
    active = backend().previews.active(generation_id)
    if active is None:
        raise NoActivePreview("The generation has no preview now; launch it first.")
    return active


def _address(preview: LivePreview) -> str:
    places = cast("PreviewApp", current_app).doorman.places
    return places.address(preview.id, request.scheme, request.host, request.root_path.rstrip("/"))


def _share_url(preview: LivePreview, share: Share) -> str:
    return f"{_address(preview)}{share_path(backend().access.share_token(preview.id, share))}"


def _shown(preview: LivePreview) -> Json:
    book = backend().access
    shares = [(one, _share_url(preview, one)) for one in book.shares(preview.id)]
    return v1.access(f"{_address(preview)}/", book.of(preview.id).public, shares)
