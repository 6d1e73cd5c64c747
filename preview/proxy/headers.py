"""Names of header fields that more than one room knows: the service's own, and those that end with a connection.

Which fields travel is said in ``carriage``, and for endpoint calls in ``call_fields``.

Source: RFC 9110 sections 7.6.1 and 7.6.2, RFC 9112 section 6.
"""

from __future__ import annotations

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
