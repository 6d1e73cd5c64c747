"""The service's own responses on a relayed connection, and reading of the next request."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import trio
from hypercorn.config import Config

from preview.http.metrics import Answered
from preview.http.relay.head_cache import own_answer
from preview.proxy.admission import OwnAnswer, RequestHead
from preview.proxy.http1 import HEAD_END, Ask, Unclean, body_of, read_request
from preview.proxy.network_stream import NetworkStream
from preview.proxy.passing_on import passed_client

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection
    from preview.http.relay.server import Relayed


def telling(answered: Answered, config: Config) -> Relayed:
    """Return the recorder of relayed requests; it uses the same metrics and log as the ASGI path.

    Args:
        answered: Counts responses.
        config: Hypercorn's configuration, which may include an access log.
    """
    log: Any = config.log

    def tell(method: str, head: Callable[[], RequestHead], status: int, size: int, elapsed_s: float) -> None:
        # As on the ASGI path, a request aborted before its response is logged but not counted.
        if status:
            answered("preview_relayed", method, status, elapsed_s)
        if log.access_logger is not None:
            answer = {"status": status, "headers": [(b"content-length", b"%d" % size)]} if status else None
            log.access_logger.info(log.access_log_format, log.atoms(_scope(head()), answer, elapsed_s))

    return tell


def _scope(head: RequestHead) -> dict[str, Any]:
    """Return the request as an ASGI scope with the keys that a log line needs."""
    path, _, query = head.target.partition(b"?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": head.method,
        "scheme": head.scheme,
        "path": path.decode("latin-1"),
        "query_string": query,
        "headers": head.fields,
        "client": (head.client, 0) if head.client else None,
    }


RECEIVE_BYTES = 64 * 1024
# Hypercorn's default for incomplete heads (``h11_max_incomplete_size``).
MAX_HEAD = 16 * 1024
_BARE_LF = re.compile(rb"(?<!\r)\n")
# Valid first bytes of an HTTP method; a TLS handshake begins with another byte.
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")


async def next_head(connection: Connection) -> bytes | None:
    """Receive until the head is complete or malformed; None at the end.

    Raises:
        ClientGone: The connection was reset.

    Cancellation: received bytes are lost.
    """
    stream, relay = connection.stream, connection.relay
    data, stream.rest = stream.rest, b""
    connection.deadline = monotonic() + relay.keep_alive_s
    while True:
        if data.startswith(b"\r\n"):
            # RFC 9112 section 2.2: an old client may send a line end after a request's content.
            data = data[2:]
        if HEAD_END in data or len(data) > MAX_HEAD or (data and _is_no_head(data)):
            return data
        if relay.is_draining and not data:
            return None
        piece = await stream.receive(RECEIVE_BYTES)
        if not piece:
            return None
        if not data:
            # A head gets this time once from its first byte, however slowly it arrives.
            connection.deadline = monotonic() + relay.keep_alive_s
        data += piece


def read_head(came: bytes) -> tuple[bytes, Ask, bytes] | None:
    """Return target, framing and head of the next request; None if it cannot be relayed.

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
    """Return the request for the access check and the header rules."""
    proxies, peer = connection.relay.proxies, connection.peer
    host, method = ask.host.decode(), ask.method.decode()
    if connection.is_from_node:
        said = passed_client(ask.fields)
        return RequestHead(
            method, target, ask.fields, host, said.scheme, said.client, peer, said.via, is_from_node=True
        )
    if not connection.is_behind_proxy:
        return RequestHead(method, target, ask.fields, host, "http", peer, peer)
    found = proxies.believed(peer, "http", ask.fields)
    return RequestHead(method, target, ask.fields, host, found.scheme, found.client, peer, found.via)


def _is_no_head(data: bytes) -> bool:
    """Return whether the received bytes cannot become a head: TLS, or a line that ends with a bare LF."""
    return not _METHOD.match(data) or _BARE_LF.search(data) is not None


# Time limits: for sending the service's own response, and for the client to read it before the close.
_LAST_WORDS_S = 5.0
_LINGER_S = 1.0


async def answer_instead(connection: Connection, ask: Ask, own: OwnAnswer) -> bool:
    """Respond instead of the preview; return whether the next request may follow.

    Raises:
        ClientGone: The client disconnected.

    Cancellation: part of the response may have been sent.
    """
    stream = connection.stream
    body = body_of(ask.length)
    came, stream.rest = stream.rest, b""
    try:
        if body.is_over:
            body.rest = came
        elif came:
            body.feed(memoryview(came))
    except Unclean:
        body = body_of(1)
    closes = ask.closes or not body.is_over or connection.relay.is_draining
    stream.rest = body.rest
    await say(connection, own, is_head=ask.method == b"HEAD", closes=closes)
    return not closes


async def say(connection: Connection, own: OwnAnswer, *, is_head: bool, closes: bool) -> None:
    """Send a response that the service itself gives.

    Args:
        connection: The client's connection.
        own: The response.
        is_head: Whether the method was HEAD.
        closes: Whether the connection closes after the response.

    Raises:
        ClientGone: The client disconnected.

    Cancellation: part of the response may have been sent.
    """
    connection.deadline = monotonic() + _LAST_WORDS_S
    date = connection.relay.dates.now()
    await connection.stream.send(own_answer(own, is_head=is_head, closes=closes, date=date))
    if closes:
        await linger(connection.stream)


async def say_at_last(connection: Connection, own: OwnAnswer, *, is_head: bool) -> None:
    """Send like ``say``, after the connection's scope was cancelled, and close. Cancellation: as for ``say``."""
    with trio.move_on_after(_LAST_WORDS_S):
        await say(connection, own, is_head=is_head, closes=True)


async def linger(stream: NetworkStream) -> None:
    """Close the sending side, then read for a moment: closing with unread bytes would reset the connection.

    Raises:
        ClientGone: The client reset the connection.

    Cancellation: the wait ends early.
    """
    stream.end()
    with trio.move_on_after(_LINGER_S):
        while await stream.receive(RECEIVE_BYTES):
            pass
