"""The log of a preview of this node for another node: one stream, whose readers are that node's.

Only requests that a node makes for itself get here, on connections that have proved the cluster's secret. That node
checks each reader's access. What it passes on for clients is an ordinary request, whatever its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import trio

from preview.errors import DatabaseUnavailable
from preview.http.streams.log_streams import Waits
from preview.logs import End, PreviewLog, Subscription
from preview.logs.bus import LogBus, Publication
from preview.logs.model.encode import Received
from preview.logs.model.events import StatusChange
from preview.logs.model.wire import (
    KEEP_ALIVE_FRAME,
    MEDIA_TYPE,
    Begin,
    FrameReader,
    begin_frame,
    frames,
    position_frame,
)
from preview.proxy.exchange import open_exchange
from preview.proxy.forwarded import BY_NODE_ITSELF
from preview.proxy.http1 import Field, request_head
from preview.proxy.passing_on import OWN_REQUEST
from preview.proxy.pool import Address, Pool
from preview.supervisor import PreviewManager

PREFIX = "/preview-node/logs"
"""Path of these streams. Without an id, the response only says that this node has them."""
_BUS_FIELD = b"preview-bus"
TAKES_BUS: Field = (_BUS_FIELD, b"yes")
"""Asks for a position once lines can be read from the bus. An owner of an earlier version ignores a header field."""
READS_BUS: Field = (_BUS_FIELD, b"only")
"""Says that lines are read from the bus."""

_PATH = re.compile(rf"{PREFIX}/([A-Za-z0-9_-]{{1,128}})")
# What a node of another version adds is ignored.
_QUERY = re.compile(rb"(?:after=(\d{1,15}))?(?:&.*)?")
# Pause between two positions.
_POSITION_S = 0.5
# Lines that a new stream begins with. Earlier ones are read from the database.
_TAIL_LINES = 1000
# Most seconds without a frame.
KEEP_ALIVE_S = 5.0
OWN_FIELDS = [(b"host", b"node"), OWN_REQUEST]
"""Header fields of a node's own requests."""


def is_node_log(scope: Mapping[str, Any]) -> bool:
    """Return whether another node of the cluster asks for a log; false for a client's request that it passes on."""
    return bool(scope.get(BY_NODE_ITSELF)) and scope["type"] == "http" and scope["path"].startswith(PREFIX)


class Serving(Protocol):
    """The parts that serve logs to nodes: see ``preview.http.backend.Backend``."""

    @property
    def previews(self) -> PreviewManager:
        """The previews of this node."""

    @property
    def waits(self) -> Waits:
        """Wakes streams when the service shuts down."""

    @property
    def bus(self) -> LogBus | None:
        """Has lines of logs that several nodes read."""


async def serve_node_log(serving: Serving, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Serve one request of another node. Cancellation: the stream is cut off.

    With ``TAKES_BUS`` the node gets a position once it can read lines from the bus. With ``READS_BUS`` it does so: the
    stream has positions, states and the end, and ends itself when the bus no longer has the lines.
    """
    previews, waits, bus = serving.previews, serving.waits, serving.bus
    found = _PATH.fullmatch(scope["path"])
    preview = None if found is None else previews.find(found[1])
    # Without a lease, its numbers may be behind those of a later owner.
    if scope["method"] != "GET" or preview is None or not previews.knows_last_line(preview.record):
        await _say(send, 204 if scope["path"] == PREFIX else 404)
        return
    asked = _QUERY.fullmatch(scope["query_string"])
    after = None if asked is None or asked[1] is None else int(asked[1])
    wishes = [one for one in scope["headers"] if one in (TAKES_BUS, READS_BUS)]
    with ExitStack() as held:
        held.enter_context(preview.streaming())
        read = None if bus is None or not wishes else held.enter_context(bus.read_by_node(preview.log))
        headers = [(b"content-type", MEDIA_TYPE)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
            if READS_BUS in wishes:
                await _send_positions(waits, preview.log, read, after or 0, send)
            else:
                await _send_all(
                    waits, held.enter_context(_subscribed(preview.log, after)), send, preview.log.last_seq, read
                )
            nursery.cancel_scope.cancel()


def _subscribed(log: PreviewLog, after: int | None) -> Subscription:
    if after is not None and after <= log.last_seq:
        return log.subscribe(after=after)
    return log.subscribe(tail=min(_TAIL_LINES, len(log.backlog)))


async def _send_all(
    waits: Waits, subscription: Subscription, send: Any, last_seq: int, read: Publication | None = None
) -> None:
    data, is_told = begin_frame(subscription.next_seq, last_seq), False
    while not waits.draining:
        if data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        data = b""
        try:
            with waits.until(KEEP_ALIVE_S) as scope:
                events = await subscription.receive()
        except (trio.EndOfChannel, DatabaseUnavailable):
            # Older lines cannot be read now: the other node asks again after its last line.
            break
        if scope.cancelled_caught:
            data = KEEP_ALIVE_FRAME
        else:
            data = b"".join(frame for event in events for frame in frames(event))
        stream = None if read is None or is_told else read.has_after(subscription.next_seq - 1)
        if stream is not None:
            data, is_told = data + position_frame(subscription.next_seq - 1, stream.token), True
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Changes:
    """The changes of a log besides its lines."""

    watchers = 1

    def __init__(self, log: PreviewLog) -> None:
        self.waiting: list[StatusChange | End] = [one for one in (log.status, log.end) if one is not None]

    def offer(self, event: Received) -> None:
        if isinstance(event, StatusChange | End):
            self.waiting.append(event)


async def _send_positions(waits: Waits, log: PreviewLog, read: Publication | None, after: int, send: Any) -> None:
    changes, told, silent_s, is_over = _Changes(log), -1, 0.0, False
    stream = None if read is None else read.has_after(after)
    log.broadcast.add(changes)
    try:
        while read is not None and stream is not None and not waits.draining and not is_over:
            if read.has_after(after) is not stream:
                break
            data = b"" if log.last_seq == told else position_frame(log.last_seq, stream.token)
            told = log.last_seq
            events, changes.waiting = changes.waiting, []
            is_over = any(isinstance(event, End) for event in events)
            data += b"".join(frame for event in events for frame in frames(event))
            silent_s = 0.0 if data else silent_s + _POSITION_S
            if data or silent_s >= KEEP_ALIVE_S:
                silent_s = 0.0
                await send({"type": "http.response.body", "body": data or KEEP_ALIVE_FRAME, "more_body": True})
            if not is_over:
                with waits.until(_POSITION_S):
                    await read.ended.wait()
    finally:
        log.broadcast.remove(changes)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancel_when_gone(receive: Any, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _say(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def ask_newest(pool: Pool, address: Address, preview_id: str, after: int) -> int | None:
    """Ask a node for the newest line of its preview; None if it does not have the preview, or has no lease.

    So the answer is not before any line that a reader has seen, though an open stream may be that of an earlier node.

    Raises:
        NotALog, PreviewError: It does not answer.

    Cancellation: nothing changes.
    """
    reader = FrameReader(preview_id)
    async with open_exchange(pool, address, 0, "GET") as exchange:
        target = f"{PREFIX}/{preview_id}?after={after}".encode()
        await exchange.start(request_head("GET", target, OWN_FIELDS, None))
        await exchange.drain()
        if (await exchange.read_head()).status != 200:
            return None
        while (piece := await exchange.read_piece()) is not None:
            for event in reader.feed(piece):
                return event.last_seq if isinstance(event, Begin) else None
    return None
