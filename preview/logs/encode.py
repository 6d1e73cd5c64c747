"""What a subscriber received, as the bytes of Server-Sent Events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from preview.clock import rfc3339_ms
from preview.logs.batch import Batch
from preview.logs.events import Contract, End, Gap, StatusChange

__all__ = ["EXPIRED", "KEEP_ALIVE", "PREAMBLE", "Received", "encode"]

Received = Batch | StatusChange | Gap | End
"""One item of what ``receive()`` gives."""

PREAMBLE = b"retry: 2000\n\n"
"""Begins each stream: a client that lost it comes back after 2 s."""
KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, sent when nothing else was for a while."""
EXPIRED = b"event: expired\ndata: {}\n\n"
"""The token that opened the stream has ended."""


def encode(events: Iterable[Received], contract: Contract) -> bytes:
    """The frames of ``events`` in the words of ``contract``, as one chunk.

    A ``gap`` has the last missing number as its ``id``, so that a client that reconnects is not told of it again.
    """
    return b"".join(
        [event.encoded(contract) if isinstance(event, Batch) else _other(event, contract) for event in events]
    )


def _other(event: StatusChange | Gap | End, contract: Contract) -> bytes:
    if isinstance(event, Gap):
        data = {"first": event.first_seq, "last": event.last_seq, "reason": event.reason}
        return _frame("gap", data, f"id: {event.last_seq}\n")
    plan = contract is Contract.PLAN
    named: dict[str, object] = {
        "previewInstanceId" if plan else "id": event.preview_id,
        "status": "launching" if plan and event.state == "starting" else event.state,
    }
    if isinstance(event, StatusChange):
        named["healthStatus" if plan else "health"] = event.health
    named["reason"] = event.reason
    if isinstance(event, End):
        named["exitCode" if plan else "exit_code"] = event.exit_code
        named["exitSignal" if plan else "exit_signal"] = event.exit_signal
    named["timestamp"] = rfc3339_ms(event.timestamp_ms)
    return _frame("end" if isinstance(event, End) else "status", named, "")


def _frame(kind: str, data: dict[str, object], head: str) -> bytes:
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
