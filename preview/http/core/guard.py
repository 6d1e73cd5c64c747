"""Checks of every request before its route: host names, header fields, and the access log's secrets.

A page in somebody's browser can point its own name to 127.0.0.1 (DNS rebinding). Its requests then come from this
machine and differ only in ``Host`` (RFC 9110 section 7.2). So only known names pass. Addresses cannot be rebound, so
all of them pass.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from hypercorn.logging import Logger
from werkzeug.exceptions import RequestHeaderFieldsTooLarge

from preview.errors import HostNotAllowed, InvalidRequest
from preview.settings import Settings

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")
_SHOWN_CHARS = 100
# Paths for health checks and Prometheus. Their answers contain numbers, and no names of users or previews.
PROBED = frozenset({"/healthz", "/readyz", "/metrics"})


class HostCheck:
    """Compares the ``Host`` of requests with the allowed names.

    Args:
        names: ``example.com``, ``.example.com`` for a domain with all names below it, or ``*``.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", ".localhost", *names}

    def allow(self, names: Iterable[str]) -> None:
        """Allow further host names."""
        self._names |= set(names)

    def check(self, host: str, path: str = "") -> None:
        """Check that a host (``NAME``, ``NAME:PORT``, ``[IPV6]:PORT``) is allowed; the port is ignored.

        Args:
            host: The host.
            path: The request's path. Programs of the operator read ``PROBED``, and reach the service by the name of
                its container. Such a name has one label, so nobody can register it and point it here.

        Raises:
            InvalidRequest: The text is not a host.
            HostNotAllowed: The host is not allowed.
        """
        found = _HOST.fullmatch(host)
        if found is None:
            raise InvalidRequest("The Host header is not a host name with an optional port; send one.", field="host")
        name = found.group(1).lower().rstrip(".")
        if "*" in self._names or name in self._names or _is_address(name):
            return
        if any(known.startswith(".") and f".{name}".endswith(known) for known in self._names):
            return
        if path in PROBED and "." not in name:
            return
        raise HostNotAllowed(
            f"This service does not accept the host name {name[:_SHOWN_CHARS]!r}; use its own address, or add the "
            "name to PREVIEW_ALLOWED_HOSTS.",
            host=name[:_SHOWN_CHARS],
        )


def host_names(settings: Settings, binds: Iterable[str] = ()) -> set[str]:
    """Return the names in the settings and in the addresses that the service listens on."""
    names = set(settings.allowed_hosts)
    for url in (settings.public_url, settings.node_public_url):
        names.add((urlsplit(url or "").hostname or "").lower())
    for bind in (settings.bind, *binds):
        if not bind.startswith(("unix:", "fd://")):
            host, _, port = bind.rpartition(":")
            names.add((host if port.isdigit() else bind).lower())
    return {name for name in names if name}


def public_origins(settings: Settings) -> frozenset[str]:
    """Return the origin of this service's page, for a reverse proxy that does not forward ``Host``."""
    if settings.public_url is None:
        return frozenset()
    parts = urlsplit(settings.public_url.lower())
    return frozenset({f"{parts.scheme}://{parts.netloc}"})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


# Browsers send about twenty fields, about forty with proxies and tracing.
MAX_FIELDS = 100
# Of two such fields, a front server may have used the other one.
_SINGLE = frozenset({b"authorization", b"content-length", b"content-type", b"host", b"origin", b"x-preview-token"})
_AUTHORITY = "preview.authority"


def origin_form(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the ASGI scope whose path begins with a slash, whatever form the request target had.

    RFC 9112 section 3.2.2: a server accepts ``GET http://HOST/path`` too; its host is kept for ``check_request``. Any
    other form of target (``*``, an authority) becomes a path without a route.
    """
    made = dict(scope)
    if scope["path"].startswith("/"):
        return made
    raw = (scope.get("raw_path") or scope["path"].encode("utf-8", "replace")).decode("latin-1")
    try:
        parts = urlsplit(raw)
        is_absolute = parts.scheme in {"http", "https"}
    except ValueError:  # brackets without an IPv6 address
        is_absolute = False
    path = (parts.path or "/") if is_absolute else "/*"
    made["path"], made["raw_path"] = unquote(path), path.encode("latin-1")
    made[_AUTHORITY] = parts.netloc if is_absolute else ""
    return made


def check_request(scope: Mapping[str, Any], hosts: HostCheck | None) -> None:
    """Check a request's header fields and host.

    Args:
        scope: From ``origin_form``.
        hosts: None if the application that mounts this one checks the host.

    Raises:
        InvalidRequest: A single-value field is repeated, or two hosts are named.
        HostNotAllowed: The host is not allowed.
        RequestHeaderFieldsTooLarge: The request has too many fields.
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
        raise InvalidRequest(
            "The request target and the Host header name different hosts; send the same one.", field="host"
        )
    if hosts is None:
        return
    if host is None and authority is None and scope["http_version"] in {"1.0", "1"}:
        # Allowed for load balancers' health checks; no browser uses HTTP/1.0.
        return
    hosts.check(authority or host or "", scope["path"])


# One-time links have their secret in the path (``/login/CODE``), stream tickets in the query.
_LOGIN = re.compile(r"(/login/)[^/\s?]+")
_QUERY = re.compile(r"\?\S*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Values from the client: request line, path, referrer, user agent.
_GIVEN = ("r", "R", "U", "Uq", "f", "a")


class AccessLogger(Logger):
    """Hypercorn's logger; set as ``logger_class`` of its configuration."""

    def atoms(self, request: Any, response: Any, request_time: float) -> Mapping[str, str]:
        """Return the values of a log line, without secrets and with escaped line breaks."""
        values: Any = super().atoms(request, response, request_time)
        for name in _GIVEN:
            values[name] = without_secrets(str(values[name]))
        values["q"] = "-"
        for name in ("{authorization}i", "{cookie}i", "{x-preview-token}i", "{set-cookie}o"):
            if name in values:
                values[name] = "-"
        return values  # type: ignore[no-any-return]  # hypercorn's own dict


def without_secrets(text: str) -> str:
    """Return a request line, path or address for a log, without secrets."""
    text = _QUERY.sub("", _LOGIN.sub(r"\1-", text))
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
