"""The log of a preview of this node for another node: one stream, whose readers are that node's.

Only requests that a node makes for itself get here, on connections that have proved the cluster's secret. That node
checks each reader's access. What it passes on for clients is an ordinary request, whatever its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import trio

from preview.errors import DatabaseUnavailable
from preview.http.streams.log_streams import Waits
from preview.logs import PreviewLog, Subscription
from preview.logs.model.wire import KEEP_ALIVE_FRAME, MEDIA_TYPE, begin_frame, frames
from preview.proxy.forwarded import BY_NODE_ITSELF
from preview.supervisor import PreviewManager

PREFIX = "/preview-node/logs"
"""Path of these streams. Without an id, the response only says that this node has them."""

_PATH = re.compile(rf"{PREFIX}/([A-Za-z0-9_-]{{1,128}})")
_AFTER = re.compile(rb"after=(\d{1,15})")
# Lines that a new stream begins with. Earlier ones are read from the database.
_TAIL_LINES = 1000
# Most seconds without a frame.
KEEP_ALIVE_S = 5.0


def is_node_log(scope: Mapping[str, Any]) -> bool:
    """Return whether another node of the cluster asks for a log; false for a client's request that it passes on."""
    return bool(scope.get(BY_NODE_ITSELF)) and scope["type"] == "http" and scope["path"].startswith(PREFIX)


async def serve_node_log(
    previews: PreviewManager, waits: Waits, scope: Mapping[str, Any], receive: Any, send: Any
) -> None:
    """Serve one request of another node. Cancellation: the stream is cut off."""
    found = _PATH.fullmatch(scope["path"])
    preview = None if found is None else previews.find(found[1])
    if scope["method"] != "GET" or preview is None:
        await _say(send, 204 if scope["path"] == PREFIX else 404)
        return
    asked = _AFTER.fullmatch(scope["query_string"])
    with preview.streaming(), _subscribed(preview.log, None if asked is None else int(asked[1])) as subscription:
        headers = [(b"content-type", MEDIA_TYPE)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
            await _send_all(waits, subscription, send, preview.log.last_seq)
            nursery.cancel_scope.cancel()


def _subscribed(log: PreviewLog, after: int | None) -> Subscription:
    if after is not None and after <= log.last_seq:
        return log.subscribe(after=after)
    return log.subscribe(tail=min(_TAIL_LINES, len(log.backlog)))


async def _send_all(waits: Waits, subscription: Subscription, send: Any, last_seq: int) -> None:
    data = begin_frame(subscription.next_seq, last_seq)
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
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _cancel_when_gone(receive: Any, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _say(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
