"""Browser access to a generation's preview (one-time links, share links, public; ``v1`` only), and the page."""

from __future__ import annotations

import re
from pathlib import Path

import trio
from markupsafe import escape
from quart import Blueprint, Response, request, send_from_directory
from werkzeug.exceptions import NotFound

from preview.auth import OpenLink, Role, Share
from preview.core.quoting import quoted
from preview.errors import ServiceStopping, ShareNotFound
from preview.http.audited import remember_detail
from preview.http.backend import Backend, BackendRoutes, Running
from preview.http.browser.addresses import PreviewAddresses
from preview.http.browser.entry import open_path, share_path
from preview.http.contracts import v1
from preview.http.core.answers import json_answer, no_content, own_address
from preview.http.core.bodies import AccessBody, OpenBody, ShareBody
from preview.http.core.page_policy import new_nonce, page_policy
from preview.http.core.reading import read_json
from preview.http.guests import cut_off
from preview.http.identity import own_preview
from preview.supervisor import LivePreview

_BODY_BYTES = 64 * 1024


def browser_routes(running: Running, places: PreviewAddresses) -> Blueprint:
    """Return the routes, relative to ``/api/v1``."""
    routes = BackendRoutes("browser", running)

    @routes.post("/generations/<generation_id>/preview/open")
    async def open_(backend: Backend, generation_id: str) -> Response:
        """Return a link that opens the preview in your browser, once.

        It has a short-lived code, sets a cookie for the preview's own address, and redirects there without the code.
        """
        preview = await own_preview(backend, generation_id)
        body = await read_json(request, OpenBody, limit_bytes=_BODY_BYTES)
        book, settings = backend.access, backend.settings
        code = book.new_link(preview.record.user_id, OpenLink(preview.id, body.path))
        address = _address(places, preview)
        url, ttl_s = f"{address}{open_path(code)}", settings.open_link_ttl_s
        return json_answer(v1.OpenLinkShape(url=url, address=f"{address}/", expires_in=ttl_s))

    @routes.post("/generations/<generation_id>/preview/share")
    async def share(backend: Backend, generation_id: str) -> Response:
        """Return a share link: valid until it expires, is revoked, or the preview ends.

        With the role `open` it opens the preview itself; with `watch` or `use`, its page on this service.

        `expires_at` is its actual expiry: a time longer than the service allows is shortened.
        """
        preview = await own_preview(backend, generation_id)
        body = await read_json(request, ShareBody, limit_bytes=_BODY_BYTES)
        remember_detail(request.scope, f"role {body.role}")
        made = backend.access.new_share(preview.id, min(body.expires_in, backend.settings.share_max_s), Role(body.role))
        return json_answer(v1.ShareShape.of(made, _share_url(backend, places, preview, made)), 201)

    @routes.get("/generations/<generation_id>/preview/access")
    async def access(backend: Backend, generation_id: str) -> Response:
        """Return the access to the preview in a browser, and its share links."""
        return json_answer(_shown(backend, places, await own_preview(backend, generation_id)))

    @routes.put("/generations/<generation_id>/preview/access")
    async def set_access(backend: Backend, generation_id: str) -> Response:
        """Make the preview public, to anybody who knows its address, or private again."""
        preview = await own_preview(backend, generation_id)
        body = await read_json(request, AccessBody, limit_bytes=_BODY_BYTES)
        remember_detail(request.scope, "public" if body.public else "private")
        backend.access.set_public(preview.id, body.public)
        return json_answer(_shown(backend, places, preview))

    @routes.delete("/generations/<generation_id>/preview/access")
    async def revoke_access(backend: Backend, generation_id: str) -> Response:
        """Revoke all access: public, every share link, and the access of every browser, including your own."""
        preview = await own_preview(backend, generation_id)
        backend.access.revoke_all(preview.id)
        cut_off(backend, backend.people.guests.without_link(preview.id))
        return no_content()

    @routes.delete("/generations/<generation_id>/preview/share/<share_id>")
    async def revoke_share(backend: Backend, generation_id: str, share_id: str) -> Response:
        """Revoke a share link: browsers that used it lose access at once."""
        preview = await own_preview(backend, generation_id)
        if not backend.access.revoke_share(preview.id, share_id):
            raise ShareNotFound(f"The preview has no share link {quoted(share_id)}.")
        cut_off(backend, backend.people.guests.without_link(preview.id))
        return no_content()

    return routes


def _address(places: PreviewAddresses, preview: LivePreview) -> str:
    return places.address(preview.id, request.scheme, request.host, request.root_path.rstrip("/"))


def _share_url(backend: Backend, places: PreviewAddresses, preview: LivePreview, share: Share) -> str:
    token = backend.access.share_token(preview.id, share)
    if share.role is Role.OPEN:
        return f"{_address(places, preview)}{share_path(token)}"
    # The page, not the preview. Browsers send no fragment, so the token gets into no log and no ``Referer``.
    return f"{own_address(backend.settings.public_url)}/#/join/{preview.record.generation_id}/{token}"


def _shown(backend: Backend, places: PreviewAddresses, preview: LivePreview) -> v1.AccessShape:
    book = backend.access
    shares = [v1.ShareShape.of(one, _share_url(backend, places, preview, one)) for one in book.shares(preview.id)]
    address = f"{_address(places, preview)}/"
    return v1.AccessShape(address=address, public=book.of(preview.id).public, shares=shares)


STATIC = Path(__file__).parent.parent / "static"

# A file name with a hash of the content (``index-BnkZ6wUs.js``): the content never changes.
_HASHED = re.compile(r"[.-][A-Za-z0-9_-]{8,}\.[a-z0-9.]+$")
_YEAR_S = 365 * 24 * 3600
# Value of ``html.cspNonce`` in ``frontend/vite.config.ts``, replaced by the nonce in the page's own elements.
_NONCE_PLACE = "NONCE-OF-THIS-ANSWER"


# An element of ``frontend/index.html``: the page offers to sign in there.
_NO_PROVIDER = '<meta name="sign-in" content="" />'


def page_routes(running: Running) -> Blueprint:
    """Return the routes, relative to the app's root."""
    routes = Blueprint("page", __name__)

    @routes.get("/")
    async def index() -> Response:
        """Return the page, without any user's data: the page requests that from the API."""
        try:
            document = await trio.Path(STATIC / "index.html").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFound from error
        nonce = new_nonce()
        name = escape(_provider(running))
        document = document.replace(_NO_PROVIDER, f'<meta name="sign-in" content="{name}" />')
        # No validator: a 304 would combine a new nonce with the previous document.
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": page_policy(nonce)}
        return Response(document.replace(_NONCE_PLACE, nonce), headers=headers, content_type="text/html; charset=utf-8")

    @routes.get("/assets/<path:name>")
    async def asset(name: str) -> Response:
        """Return one of the page's files."""
        response = await send_from_directory(STATIC / "assets", name)
        hashed = _HASHED.search(name) is not None
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable" if hashed else "no-cache"
        return response

    @routes.get("/favicon.svg")
    async def favicon() -> Response:
        """Return the page's icon."""
        response = await send_from_directory(STATIC, "favicon.svg")
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return routes


def _provider(running: Running) -> str:
    """Return the name of the identity provider, empty without one. A stopping service still shows its page."""
    try:
        sign_in = running().people.sign_in
    except ServiceStopping:
        return ""
    return "" if sign_in is None else sign_in.name
