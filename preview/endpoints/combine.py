"""What source and running preview say, together; and which route tells health."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from preview.endpoints.model import Endpoint

# The most telling name first; any prefix (/api/v1) may stand before it, the shortest path wins.
_HEALTH_NAMES = ("health", "healthz", "healthcheck", "health-check", "health_check", "readyz", "livez", "ready", "ping")
_STATUS_NAMES = ("status",)


def merge_endpoints(static: Sequence[Endpoint], live: Sequence[Endpoint]) -> list[Endpoint]:
    """The live list, with what only the source knows filled in; the static one when there is no live one."""
    if not live:
        return list(static)
    known = {(endpoint.method, _shape(endpoint.path)): endpoint for endpoint in static}
    return [_merge(endpoint, known.get((endpoint.method, _shape(endpoint.path)))) for endpoint in live]


def _merge(live: Endpoint, static: Endpoint | None) -> Endpoint:
    if static is None:
        return live
    return replace(
        live,
        summary=live.summary or static.summary,
        description=live.description or static.description,
        tags=live.tags or static.tags,
        query=live.query or static.query,
        request_body=static.request_body if live.request_body is None else live.request_body,
        response_schema=static.response_schema if live.response_schema is None else live.response_schema,
        file=static.file,
        line=static.line,
    )


def _shape(path: str) -> str:
    """The path without its parameters' names and its closing slash: what it matches."""
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip("/")


def find_health_path(endpoints: Sequence[Endpoint]) -> str | None:
    """The path that tells whether the application is well: a GET without parameters, or None."""
    paths = [item.path for item in endpoints if item.method == "GET" and "{" not in item.path]
    for names in (_HEALTH_NAMES, _STATUS_NAMES):
        found = [(path.count("/"), names.index(last), path) for path in paths if (last := _last(path)) in names]
        if found:
            return min(found)[2]
    return None


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2].lower()
