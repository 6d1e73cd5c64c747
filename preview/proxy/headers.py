"""Header field names that several packages use: the service's own, and hop-by-hop fields.

``carriage`` decides which fields are forwarded, and ``call_fields`` for endpoint calls.

Source: RFC 9110 sections 7.6.1 and 7.6.2, RFC 9112 section 6.
"""

from __future__ import annotations

import os
import re

from preview.core.ids import REQUEST_ID, REQUEST_MARK

# The service's own names. Their values are secrets for the service and never reach generated code.
TOKEN_HEADER = "x-preview-token"  # noqa: S105  a header's name
# Prefix of the cookie's name. Browsers ignore the port, so each service adds a suffix of its own.
SERVICE_COOKIE = "preview_session"
# Prefix of the name of the cookie that grants a browser access to one preview.
ACCESS_COOKIE = "preview_access"

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


REQUEST_ID_FIELD = b"x-request-id"
# Facts about the client, from the node that passes a request on; see ``passing_on``.
NODE_FIELD = b"preview-node"

_RANDOM_BYTES = 8
_AT_ONCE = 256

_SANE = re.compile(REQUEST_ID.encode())
_MARK = REQUEST_MARK.encode()


def is_sane_request_id(value: bytes) -> bool:
    """Return whether a caller's request id is acceptable: see ``REQUEST_ID``."""
    return _SANE.fullmatch(value) is not None


def new_request_id() -> bytes:
    """Return a unique request id: the service's mark and 8 random bytes, all hexadecimal."""
    return _MARK + os.urandom(_RANDOM_BYTES).hex().encode()


class RequestIds:
    """Generates ids like ``new_request_id`` from larger random blocks, which saves system calls."""

    __slots__ = ("_at", "_digits")

    def __init__(self) -> None:
        self._digits = b""
        self._at = 0

    def new(self) -> bytes:
        """Return a new unique id."""
        at = self._at
        if at == len(self._digits):
            self._digits, at = os.urandom(_RANDOM_BYTES * _AT_ONCE).hex().encode(), 0
        self._at = at + 2 * _RANDOM_BYTES
        return _MARK + self._digits[at : self._at]
