"""The relay's parts that know nothing of the service: sockets, heads, contents, and connections to previews."""

from preview.proxy.relay.bodies import LAST_CHUNK, Body, body_of, chunk
from preview.proxy.relay.heads import (
    CHUNKED,
    REQUEST_LINE,
    UNTIL_CLOSE,
    Answer,
    Ask,
    Unclean,
    read_answer,
    read_request,
)
from preview.proxy.relay.links import BrokenLink, ClientGone, Link, Memo, Payload, UpstreamGone
from preview.proxy.relay.pool import Pool, Reader, Refused, Upstream, connect

__all__ = [
    "CHUNKED",
    "LAST_CHUNK",
    "REQUEST_LINE",
    "UNTIL_CLOSE",
    "Answer",
    "Ask",
    "Body",
    "BrokenLink",
    "ClientGone",
    "Link",
    "Memo",
    "Payload",
    "Pool",
    "Reader",
    "Refused",
    "Unclean",
    "Upstream",
    "UpstreamGone",
    "body_of",
    "chunk",
    "connect",
    "read_answer",
    "read_request",
]
