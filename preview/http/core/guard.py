"""What every request is checked for before its route is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from werkzeug.exceptions import RequestHeaderFieldsTooLarge

from preview.errors import InvalidRequest
from preview.http.core.hosts import HostCheck

# Browsers send about twenty, with proxies and tracing in front about forty.
MAX_FIELDS = 100
# Of these two would mean that somebody in front of us may have believed the other one.
_SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"origin", b"x-preview-token"})
_AUTHORITY = "preview.authority"


def origin_form(scope: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the ASGI scope whose path begins with a slash, whatever form the request target had.

    RFC 9112 section 3.2.2: a server takes ``GET http://HOST/path`` too; the host in it is kept for ``check_request``.
    A target that is none of ours (``*``, an authority) becomes a path where there is nothing.
    """
    made = dict(scope)
    if scope["path"].startswith("/"):
        return made
    raw = (scope.get("raw_path") or scope["path"].encode("utf-8", "replace")).decode("latin-1")
    try:
        parts = urlsplit(raw)
        is_absolute = parts.scheme in {"http", "https"}
    except ValueError:  # brackets that are not those of an IPv6 address
        is_absolute = False
    path = (parts.path or "/") if is_absolute else "/*"
    made["path"], made["raw_path"] = unquote(path), path.encode("latin-1")
    made[_AUTHORITY] = parts.netloc if is_absolute else ""
    return made


def check_request(scope: Mapping[str, Any], hosts: HostCheck | None) -> None:
    """Nothing, where the request may be looked at.

    Args:
        scope: As ``origin_form`` gives it.
        hosts: None where whoever mounted us has checked the host.

    Raises:
        InvalidRequest: A field that may stand there once is repeated, or two hosts are named.
        HostNotAllowed: It is for another host.
        RequestHeaderFieldsTooLarge: It has too many fields.
    """
    headers = scope["headers"]
    if len(headers) > MAX_FIELDS:
        raise RequestHeaderFieldsTooLarge
    seen: dict[bytes, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in seen:
            raise InvalidRequest(f"The header {lowered.decode()} is repeated; send it once.", field=lowered.decode())
        if lowered in _SINGLE:
            seen[lowered] = value.decode("latin-1")
    host, authority = seen.get(b"host"), scope.get(_AUTHORITY)
    if authority and authority.lower() != (host or authority).lower():
        raise InvalidRequest("The request target names another host than the Host header; send one.", field="host")
    if hosts is None:
        return
    if host is None and authority is None and scope["http_version"] in {"1.0", "1"}:
        # Health checks of load balancers; no browser speaks it.
        return
    hosts.check(authority or host or "")
