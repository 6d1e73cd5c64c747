"""Header rules of endpoint calls: those of ``carriage``, except where calls differ from a browser's requests.

The caller writes the whole request and reads the whole response in an envelope. Neither end is a browser on the
preview's public address. Therefore:

- Connection fields, the service's own secrets and fields that ``Connection`` names are dropped, by the same tables.
- ``X-Forwarded-*`` and ``Forwarded`` are not added; the caller may set them, like any client.
- ``Host`` is the preview's own address. Addresses and cookies in the response are not rewritten.
- ``Content-Encoding`` is removed from the response if the content was decoded.
- Names keep their case. An invalid field raises an error instead of being dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.proxy.carriage import NEVER_CARRIED, named_by_connection, without_own_cookies
from preview.proxy.headers import HOP_BY_HOP
from preview.proxy.http1 import Field

Header = tuple[str, str]

# The client sets the length of the content that it sends.
_NOT_SENT = NEVER_CARRIED | {b"content-length"}
# The client decodes the content and counts its bytes again.
_NOT_RETURNED = frozenset(name.encode() for name in HOP_BY_HOP) | {b"content-encoding", b"content-length"}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 section 5.5: no control characters except the tab; CR, LF and NUL would end the field. Half of a surrogate
# pair cannot be encoded.
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def forwarded_headers(headers: Iterable[Header]) -> list[Header]:
    """Return the fields of a caller's request that reach the preview, in their order.

    Raises:
        InvalidRequest: A name is not a token, or a value contains a line break or another control character.
    """
    fields = list(headers)
    for name, value in fields:
        _check_field(name, value)
    lowered = _lowered(fields)
    dropped = _NOT_SENT | named_by_connection(lowered)
    kept: list[Header] = []
    for (name, value), (key, raw) in zip(fields, lowered, strict=True):
        # CGI and WSGI treat hyphens and underscores in names as equal.
        if key in dropped or key.replace(b"_", b"-") in dropped:
            continue
        if key == b"cookie":
            value = without_own_cookies(raw).decode()  # noqa: PLW2901  the same field, cleaned
            if not value:
                continue
        kept.append((name, value.strip(" \t")))
    return kept


def returned_headers(headers: Iterable[Header]) -> list[Header]:
    """Return the response's fields for the caller, without hop-by-hop fields and fields about a decoded coding."""
    fields = list(headers)
    lowered = _lowered(fields)
    dropped = _NOT_RETURNED | named_by_connection(lowered)
    return [field for field, (key, _) in zip(fields, lowered, strict=True) if key not in dropped]


def _lowered(fields: Sequence[Header]) -> list[Field]:
    return [
        (name.lower().encode("utf-8", "surrogatepass"), value.strip(" \t").encode("utf-8", "surrogatepass"))
        for name, value in fields
    ]


def _check_field(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        raise InvalidRequest(
            f"{quoted(name)} is not a header name: use letters, digits and hyphens (RFC 9110 section 5.1).", header=name
        )
    if not _VALUE.fullmatch(value):
        raise InvalidRequest(
            f"The value of header {quoted(name)} contains a control character or a lone surrogate: remove it.",
            header=name,
        )
