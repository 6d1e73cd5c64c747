"""The next request of a client's connection, read up to its content."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING

from preview.proxy.admission import RequestHead
from preview.proxy.relay import Ask, Unclean, read_request

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

RECEIVE_BYTES = 64 * 1024
HEAD_END = b"\r\n\r\n"
# As hypercorn's own default for what is not complete (``h11_max_incomplete_size``).
MAX_HEAD = 16 * 1024
_BARE_LF = re.compile(rb"(?<!\r)\n")
# No method of HTTP begins with another one; TLS does.
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")


async def next_head(connection: Connection) -> bytes | None:
    """What has come, with a whole head in it or what will never be one; None at the end.

    Raises:
        ClientGone: The connection was reset.

    Cancellation: what has come is lost.
    """
    link, relay = connection.link, connection.relay
    data, link.rest = link.rest, b""
    connection.deadline = monotonic() + relay.keep_alive_s
    while True:
        if data.startswith(b"\r\n"):
            # RFC 9112 section 2.2: left over behind the content of an old client's request.
            data = data[2:]
        if HEAD_END in data or len(data) > MAX_HEAD or (data and _is_no_head(data)):
            return data
        if relay.is_draining and not data:
            return None
        piece = await link.receive(RECEIVE_BYTES)
        if not piece:
            return None
        if not data:
            # From its first byte on a head has the same time once more, however it drips.
            connection.deadline = monotonic() + relay.keep_alive_s
        data += piece


def read_head(came: bytes) -> tuple[bytes, Ask, bytes] | None:
    """The target, the framing, and the bytes of the head that these begin with; None where it is none that is relayed.

    Args:
        came: From ``next_head``.
    """
    end = came.find(HEAD_END)
    if not 0 <= end <= MAX_HEAD:
        return None
    head = came[:end]
    try:
        target, ask = read_request(head)
    except Unclean:
        return None
    return target, ask, head


def head_of(connection: Connection, target: bytes, ask: Ask) -> RequestHead:
    """The request as the doorman and the rules of carriage take it."""
    proxies, peer = connection.relay.proxies, connection.peer
    host, method = ask.host.decode(), ask.method.decode()
    if not connection.is_behind_proxy:
        return RequestHead(method, target, ask.fields, host, "http", peer, peer)
    found = proxies.believed(peer, "http", ask.fields)
    return RequestHead(method, target, ask.fields, host, found.scheme, found.client, peer, found.via)


def _is_no_head(data: bytes) -> bool:
    """Whether what has come will not become a head: TLS, say, or a line that ends with LF alone."""
    return not _METHOD.match(data) or _BARE_LF.search(data) is not None
