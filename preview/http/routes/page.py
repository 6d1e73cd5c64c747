"""The page: files that were built, served as they are, but for the nonce of its document."""

from __future__ import annotations

import re
from pathlib import Path

import trio
from quart import Blueprint, Response, send_from_directory
from werkzeug.exceptions import NotFound

from preview.http.core.page_policy import new_nonce, page_policy

STATIC = Path(__file__).parent.parent / "static"

# A name with a hash of its content (``index-BnkZ6wUs.js``): its content never changes.
_HASHED = re.compile(r"[.-][A-Za-z0-9_-]{8,}\.[a-z0-9.]+$")
_YEAR_S = 365 * 24 * 3600
# ``html.cspNonce`` of ``frontend/vite.config.ts``: stands where the page's own elements carry their nonce.
_NONCE_PLACE = "NONCE-OF-THIS-ANSWER"


def page_routes() -> Blueprint:
    """The routes, relative to the app's root."""
    routes = Blueprint("page", __name__)

    @routes.get("/")
    async def index() -> Response:
        """The page. It holds nothing of anybody's: what it shows it asks the API for."""
        try:
            document = await trio.Path(STATIC / "index.html").read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NotFound from error
        nonce = new_nonce()
        # Without a validator: an answer 304 would put a new nonce on the document from before.
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": page_policy(nonce)}
        return Response(document.replace(_NONCE_PLACE, nonce), headers=headers, content_type="text/html; charset=utf-8")

    @routes.get("/assets/<path:name>")
    async def asset(name: str) -> Response:
        """One of the page's files."""
        response = await send_from_directory(STATIC / "assets", name)
        hashed = _HASHED.search(name) is not None
        response.headers["Cache-Control"] = f"public, max-age={_YEAR_S}, immutable" if hashed else "no-cache"
        return response

    @routes.get("/favicon.svg")
    async def favicon() -> Response:
        """The page's icon."""
        response = await send_from_directory(STATIC, "favicon.svg")
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response

    return routes
