"""The page: files that were built, served as they are."""

from __future__ import annotations

import re
from pathlib import Path

from quart import Blueprint, Response, send_from_directory

from preview.http.handlers import PAGE_POLICY

__all__ = ["STATIC", "page_routes"]

STATIC = Path(__file__).parent.parent / "static"

# A name with a hash of its content (``index-BnkZ6wUs.js``): its content never changes.
_HASHED = re.compile(r"[.-][A-Za-z0-9_-]{8,}\.[a-z0-9.]+$")
_YEAR_S = 365 * 24 * 3600


def page_routes() -> Blueprint:
    """The routes, relative to the app's root."""
    routes = Blueprint("page", __name__)

    @routes.get("/")
    async def index() -> Response:
        """The page. It holds nothing of anybody's: what it shows it asks the API for."""
        response = await send_from_directory(STATIC, "index.html")
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = PAGE_POLICY
        return response

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
