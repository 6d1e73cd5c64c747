"""Responses as the routes give them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quart import Response, request


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``value`` as JSON, its keys in the order in which the contract writes them."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, dict(headers or {}), content_type="application/json")


def no_content(headers: Mapping[str, str] | None = None) -> Response:
    """204."""
    response = Response(b"", 204, dict(headers or {}))
    del response.headers["Content-Type"]
    return response


def link(path: str) -> str:
    """A path of ours as the client reaches it: under the prefix where a host has mounted us."""
    return f"{request.root_path.rstrip('/')}{path}"
