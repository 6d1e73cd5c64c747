"""Names of header fields that more than one package uses: the service's own, and those that end with a connection.

Which fields travel is said in ``carriage``, and for endpoint calls in ``call_fields``.

Source: RFC 9110 sections 7.6.1 and 7.6.2, RFC 9112 section 6.
"""

from __future__ import annotations

import os
import re

from preview.core.ids import REQUEST_ID

# The service's own: meant for us, secrets at that, and so never handed to code that somebody generated.
TOKEN_HEADER = "x-preview-token"  # noqa: S105  a header's name
# The name's beginning: browsers do not tell the ports of a host apart, so each service adds something of its own.
SERVICE_COOKIE = "preview_session"
# The same, of the cookie by which a browser may look at one preview.
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

_RANDOM_BYTES = 12
_AT_ONCE = 256

_SANE = re.compile(REQUEST_ID.encode())


def is_sane_request_id(value: bytes) -> bool:
    """Return whether a caller's request id is acceptable: see ``REQUEST_ID``."""
    return _SANE.fullmatch(value) is not None


def new_request_id() -> bytes:
    """Return a unique request id: 12 random bytes, hexadecimal."""
    return os.urandom(_RANDOM_BYTES).hex().encode()


class RequestIds:
    """Numbers as ``new_request_id`` makes them, without asking the kernel for each."""

    __slots__ = ("_at", "_digits")

    def __init__(self) -> None:
        self._digits = b""
        self._at = 0

    def new(self) -> bytes:
        """One that was not given before."""
        at = self._at
        if at == len(self._digits):
            self._digits, at = os.urandom(_RANDOM_BYTES * _AT_ONCE).hex().encode(), 0
        self._at = at + 2 * _RANDOM_BYTES
        return self._digits[at : self._at]
