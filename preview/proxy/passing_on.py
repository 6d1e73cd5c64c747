"""Header fields of a request that one node passes on to another: all of the client's, and one about the client.

``NODE_FIELD`` is believed only on a connection to the internal listener, whose other side has proved the cluster's
secret. On every other connection it is dropped unread. A node's request for itself has ``itself`` there, which no
passed-on request has: a client's own field is dropped, and the node's facts about the client are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preview.proxy.admission import Fields, RequestHead
from preview.proxy.forwarded import FROM_NODE, HIDDEN, Believed, TrustedProxies, by_node
from preview.proxy.headers import HOP_BY_HOP, NODE_FIELD, REQUEST_ID_FIELD, is_sane_request_id
from preview.proxy.http1 import Field

MISDIRECTED = 421
"""Status of a node's answer to a passed-on request for a preview that another node owns (RFC 9110 section 15.5.20)."""

NOT_OWNER_FIELD = b"preview-not-owner"
"""Field of that answer, so that a program's own 421 is not mistaken for it."""

OWN_REQUEST: Field = (NODE_FIELD, b"itself")
"""The field of a request that a node makes for itself."""

_NOBODY = "-"
# As for browsers' requests: written again, or only for this hop.
_DROPPED = frozenset(name.encode() for name in HOP_BY_HOP) | HIDDEN | {
    NODE_FIELD, REQUEST_ID_FIELD, b"host", b"expect", b"http2-settings",
}  # fmt: skip


def passed_fields(head: RequestHead, named: frozenset[bytes]) -> tuple[list[Field], bytes]:
    """Return the fields for the other node, and the client's own request id or nothing.

    Args:
        head: The client's request.
        named: Names that its ``Connection`` lists.
    """
    kept: list[Field] = [(b"host", head.host.encode("latin-1"))]
    dropped, number = _DROPPED | named if named else _DROPPED, b""
    for name, value in head.fields:
        if name not in dropped:
            kept.append((name, value))
        elif name == REQUEST_ID_FIELD and not number and is_sane_request_id(value):
            number = value
    kept.append((NODE_FIELD, _about(head)))
    return kept, number


def _about(head: RequestHead) -> bytes:
    return f"{head.scheme} {head.client or _NOBODY} {','.join(head.via) or _NOBODY}".encode("latin-1", "replace")


def passed_client(fields: Fields) -> Believed:
    """Return what the passing node says about the client. The caller knows that a node has sent these fields."""
    said = next((value for name, value in fields if name.lower() == NODE_FIELD), b"").decode("latin-1").split(" ")
    if len(said) != 3:
        return Believed(None, "http")
    scheme, client, via = said
    return Believed(None if client == _NOBODY else client, scheme, () if via == _NOBODY else tuple(via.split(",")))


def trusted_scope(scope: Mapping[str, Any], proxies: TrustedProxies) -> dict[str, Any]:
    """Return a copy of the ASGI scope with the trusted facts about the client, without the fields that state them.

    Args:
        scope: Its state has ``FROM_NODE`` if a node has proved itself on the connection.
        proxies: The proxies that are trusted on all other connections.
    """
    if (scope.get("state") or {}).get(FROM_NODE):
        fields = scope["headers"]
        itself = [value for name, value in fields if name.lower() == NODE_FIELD] == [OWN_REQUEST[1]]
        return by_node(scope, passed_client(fields), itself=itself)
    return proxies.applied(scope)


def is_log_stream(target: bytes) -> bool:
    """Return whether the target is a log's stream, which can go on when the preview's owner changes."""
    return target.partition(b"?")[0].endswith(b"/preview/logs/stream")


def is_misdirected(status: int, fields: Fields) -> bool:
    """Return whether a node's answer means that it does not own the preview."""
    return status == MISDIRECTED and any(name == NOT_OWNER_FIELD for name, _ in fields)
