"""Which header fields travel, in both directions.

Source: RFC 9110 section 7.6.1 (Connection and the fields it names), section 7.6.2, RFC 9112 section 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from preview.errors import InvalidRequest

__all__ = ["HOP_BY_HOP", "SERVICE_COOKIE", "TOKEN_HEADER", "forwarded_headers", "returned_headers"]

# The service's own: meant for us, secrets at that, and so never handed to code that somebody generated.
TOKEN_HEADER = "x-preview-token"  # noqa: S105  a header's name
# The name's beginning: browsers do not tell the ports of a host apart, so each service adds something of its own.
SERVICE_COOKIE = "preview_session"

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# Ours to compute for the message that we really send; ``Expect`` would make a preview wait for a body we hold already.
_COMPUTED = frozenset({"host", "content-length", "expect"})
# The client undoes the content coding and counts the bytes anew.
_UNDONE = frozenset({"content-encoding", "content-length"})

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 section 5.5: no control characters but the tab; CR, LF and NUL would end the field.
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")

Header = tuple[str, str]


def forwarded_headers(headers: Iterable[Header]) -> list[Header]:
    """The fields of a caller's request that reach the preview, in their order.

    Dropped are hop-by-hop fields and those that ``Connection`` names, the preview token, the session cookies of this
    service and of others on the host, and what the client computes itself (``Host``, ``Content-Length``).

    Raises:
        InvalidRequest: A name is not a token, or a value holds a line break or another control character.
    """
    fields = list(headers)
    dropped = HOP_BY_HOP | _COMPUTED | {TOKEN_HEADER} | _named_by_connection(fields)
    kept: list[Header] = []
    for name, value in fields:
        _check_field(name, value)
        lowered = name.lower()
        if lowered in dropped:
            continue
        if lowered == "cookie":
            value = _without_service_cookies(value)  # noqa: PLW2901  the same field, cleaned
            if not value:
                continue
        kept.append((name, value.strip(" \t")))
    return kept


def returned_headers(headers: Iterable[Header]) -> list[Header]:
    """The fields of a preview's answer that reach the caller: no hop-by-hop field, nothing about an undone coding."""
    fields = list(headers)
    dropped = HOP_BY_HOP | _UNDONE | _named_by_connection(fields)
    return [(name, value) for name, value in fields if name.lower() not in dropped]


def _named_by_connection(fields: Iterable[Header]) -> set[str]:
    return {
        option.strip().lower()
        for name, value in fields
        if name.lower() == "connection"
        for option in value.split(",")
        if option.strip()
    }


def _without_service_cookies(value: str) -> str:
    pairs = (pair.strip() for pair in value.split(";"))
    return "; ".join(pair for pair in pairs if pair and not pair.startswith(SERVICE_COOKIE))


def _check_field(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} is not a header name: use letters, digits and hyphens (RFC 9110 section 5.1).", header=name
        )
    if not _VALUE.fullmatch(value):
        raise InvalidRequest(f"The value of header {name} holds a control character: remove it.", header=name)
