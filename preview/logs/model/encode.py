"""Encoding of events: Server-Sent Events (WHATWG HTML, section 9.2) or JSON, one object per line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from preview.core.clock import rfc3339_ms
from preview.core.launch_steps import step_fields
from preview.logs.model.batch import Batch
from preview.logs.model.encoding import Encoding, Format
from preview.logs.model.events import Contract, End, Gap, LogLine, StatusChange
from preview.logs.model.frames import encode_lines

Received = Batch | StatusChange | Gap | End
"""One item of the result of ``receive()``."""

PREAMBLE = b"retry: 2000\n\n"
"""First bytes of each stream of Server-Sent Events: after a lost connection, a client reconnects after 2 s."""
KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, sent after a while without other data."""
MESSAGE_BYTES = 256 * 1024
"""Maximum size of a WebSocket message, unless a single line is longer; clients often accept at most 1 MiB."""


def encode(events: Iterable[Received], encoding: Encoding) -> bytes:
    """Return the events as one chunk; empty if none passes the encoding's filter.

    The ``id`` of a ``gap`` is the last missing number, so that a client that reconnects does not get the gap again.
    """
    return b"".join(
        [event.encoded(encoding) if isinstance(event, Batch) else _other(event, encoding) for event in events]
    )


def encode_found(lines: Sequence[LogLine], contract: Contract) -> bytes:
    """Encode lines of a search as ``NDJSON``, with the names of ``contract``."""
    return encode_lines(
        [line.seq for line in lines],
        [line.timestamp_ms for line in lines],
        bytes([line.mark for line in lines]),
        [line.message for line in lines],
        contract,
        Format.NDJSON,
        {position: line.request_id for position, line in enumerate(lines) if line.request_id is not None},
    )


def progress(seq: int, form: Format) -> bytes:
    """Encode a progress report: all lines up to ``seq`` were searched, and the last ones did not pass the filter.

    In SSE this is a block with an ``id`` and no ``data``. It dispatches no event, but the browser sends the id as
    ``Last-Event-ID`` when it reconnects (section 9.2.6).
    """
    return f"id: {seq}\n\n".encode() if form is Format.SSE else _line("progress", {"seq": seq})


def expired(form: Format) -> bytes:
    """Encode the expiry of the stream's token."""
    return _frame("expired", {}, "") if form is Format.SSE else _line("expired", {})


def messages(lines: bytes) -> Iterator[str]:
    """Convert ``NDJSON`` from ``encode`` into WebSocket messages: JSON arrays of one or more events.

    A JSON string contains no raw line end, so every line end separates two objects.
    """
    start = 0
    while start < len(lines):
        stop = len(lines)
        if stop - start > MESSAGE_BYTES:
            stop = lines.rfind(b"\n", start, start + MESSAGE_BYTES) + 1 or lines.index(b"\n", start) + 1
        objects = lines[start : stop - 1].replace(b"\n", b",")
        yield f"[{objects.decode()}]"
        start = stop


def _other(event: StatusChange | Gap | End, encoding: Encoding) -> bytes:
    kind, data = _described(event, encoding.contract)
    if encoding.format is Format.NDJSON:
        return _line(kind, data)
    return _frame(kind, data, f"id: {event.last_seq}\n" if isinstance(event, Gap) else "")


def _described(event: StatusChange | Gap | End, contract: Contract) -> tuple[str, dict[str, object]]:
    """Return the event's type and its fields, with the names of ``contract``."""
    if isinstance(event, Gap):
        return "gap", {"first": event.first_seq, "last": event.last_seq, "reason": event.reason}
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
        named["cause"] = event.cause
    named["timestamp"] = rfc3339_ms(event.timestamp_ms)
    named["steps"] = [step_fields(one, camel=plan) for one in event.steps]
    if isinstance(event, StatusChange):
        named["restarts"] = event.restarts
        named["crashes"] = event.crashes
    return "end" if isinstance(event, End) else "status", named


def _frame(kind: str, data: dict[str, object], head: str) -> bytes:
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


def _line(kind: str, data: dict[str, object]) -> bytes:
    return f"{json.dumps({'type': kind, **data})}\n".encode()


# Maximum number of lines that a reconnecting client searches again: one page of the database.
_PROGRESS_LINES = 1000


class StreamEncoder:
    """Encodes for one subscriber, and reports progress while the subscriber's filter drops all lines.

    Without these reports, a client whose filter rarely matches would reconnect far behind, and all lines since its last
    match would be searched again.

    Args:
        encoding: Encoding of the events; may be replaced between two events.
        start_seq: Number of the last line that the client already has.

    Attributes:
        seen_seq: Number of the last line that was searched.
    """

    def __init__(self, encoding: Encoding, *, start_seq: int = 0) -> None:
        self.encoding = encoding
        self.seen_seq = start_seq
        # Invariant: the client knows that the log up to this line was searched.
        self._told_seq = start_seq

    @property
    def is_ahead(self) -> bool:
        """True if lines were searched that were not reported to the client."""
        return self._told_seq < self.seen_seq

    def encode(self, events: Sequence[Received]) -> bytes:
        """Return the events as one chunk; empty if nothing is to be sent."""
        chunk = encode(events, self.encoding)
        numbered = next((one for one in reversed(events) if isinstance(one, Batch | Gap)), None)
        if numbered is None:
            return chunk
        self.seen_seq = numbered.last_seq
        if isinstance(numbered, Gap) or self._shows_last_line(numbered):
            self._told_seq = self.seen_seq
        elif self.seen_seq - self._told_seq >= _PROGRESS_LINES:
            chunk += self.progress()
        return chunk

    @property
    def has_failed(self) -> bool:
        """True if the filter cannot be used any more; then the stream must end, as lines are missing from it."""
        return self.encoding.filter.fault is not None

    def progress(self) -> bytes:
        """Encode the number of the last line that was searched."""
        self._told_seq = self.seen_seq
        return progress(self.seen_seq, self.encoding.format)

    def idle(self) -> bytes:
        """Return data that keeps the connection alive: a comment, or a progress report."""
        is_plain = self.encoding.format is Format.SSE and not self.is_ahead
        return KEEP_ALIVE if is_plain else self.progress()

    def _shows_last_line(self, batch: Batch) -> bool:
        chosen = self.encoding.filter
        return chosen.is_open or chosen.passes(batch.line_at(len(batch) - 1))
