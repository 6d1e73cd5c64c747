"""Cookies of requests, and the origin of the page that sends them."""

from __future__ import annotations

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that request no change (RFC 9110 section 9.2.1)."""


def fields_of(scope: Mapping[str, Any]) -> dict[bytes, str]:
    """Return the header fields of an ASGI scope, by name in lower case."""
    return {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}


def cookie_in(scope: Mapping[str, Any], cookie: str) -> str | None:
    """Return the first value of a cookie; None without it."""
    for name, value in scope["headers"]:
        if name.lower() != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            try:
                found = SimpleCookie(pair.strip()).get(cookie)
            except CookieError:
                continue
            if found is not None:
                return found.value
    return None


def is_same_origin(scope: Mapping[str, Any]) -> bool:
    """Return whether a page of this origin sends the request: ``Sec-Fetch-Site``, or ``Origin`` from an old browser."""
    headers = fields_of(scope)
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin, host = headers.get(b"origin"), headers.get(b"host")
    if origin is None or not host:
        return False
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # half of an IPv6 address, for example
        return False
