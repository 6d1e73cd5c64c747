"""The record of an endpoint call: in the preview's recorded requests, and in the service's own log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from preview.core.clock import now_ms
from preview.proxy import ProxyRequest
from preview.supervisor import LivePreview, log_call
from preview.traffic import BODY_BYTES, Draft, DraftMessage, Origin, Who
from preview.traffic.measurements.series import OTHERS


@dataclass(slots=True)
class CallOutcome:
    """The result of one call so far.

    Attributes:
        code: Code of the error that ended the call; None for a complete response.
        status: HTTP status; 0 before there is one.
        headers: Fields of the response.
        body: The first bytes of its content, at least ``BODY_BYTES`` if it has so many.
        size_bytes: Size of its content.
        first_byte_s: Seconds until the head; negative before.
    """

    code: str | None = "internal_error"
    status: int = 0
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    size_bytes: int = 0
    first_byte_s: float = -1.0

    def add(self, piece: bytes) -> None:
        """Count a piece of the content, and keep it if it is among the first."""
        self.size_bytes += len(piece)
        if len(self.body) < BODY_BYTES:
            self.body += piece[: BODY_BYTES - len(self.body)]


@contextmanager
def recorded_call(preview: LivePreview, asked: ProxyRequest, who: Who, origin: Origin) -> Iterator[CallOutcome]:
    """Provide the outcome for the caller to fill in; record and log the call at the end.

    Args:
        preview: The preview.
        asked: The request.
        who: The sender.
        origin: The reason.
    """
    began = trio.current_time()
    first_line = preview.log.last_seq + 1
    outcome = CallOutcome()
    preview.traffic.direct.carried(asked.request_id.encode())
    try:
        yield outcome
    except trio.Cancelled:
        outcome.code = "cancelled"
        raise
    finally:
        elapsed_s = trio.current_time() - began
        if not preview.traffic.is_off:
            preview.traffic.record(_draft(preview, asked, outcome, elapsed_s, first_line, who, origin))
        elif origin is not Origin.CHECK:
            preview.series.count(OTHERS, outcome.status, elapsed_s)
        log_call(
            preview.record,
            request_id=asked.request_id,
            method=asked.method,
            path=asked.path,
            status=outcome.status or None,
            code=outcome.code,
            elapsed_s=elapsed_s,
        )


def _draft(
    preview: LivePreview,
    asked: ProxyRequest,
    outcome: CallOutcome,
    elapsed_s: float,
    first_line: int,
    who: Who,
    origin: Origin,
) -> Draft:
    """Return the record of a call: headers and bodies too, as the caller has them anyway."""
    sent = asked.body or b""
    return Draft(
        asked.request_id.encode(),
        origin,
        who,
        asked.method,
        asked.target,
        outcome.status,
        outcome.code,
        now_ms(),
        0.0,
        -1.0,
        outcome.first_byte_s,
        elapsed_s,
        len(sent),
        outcome.size_bytes,
        preview.restarts,
        first_line,
        _message(asked.headers, sent[:BODY_BYTES], len(sent)),
        _message(outcome.headers, outcome.body, outcome.size_bytes) if outcome.status else None,
    )


def _message(headers: Sequence[tuple[str, str]], body: bytes, size_bytes: int) -> DraftMessage:
    fields = [(name.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for name, value in headers]
    size = sum(len(name) + len(value) for name, value in fields)
    return DraftMessage(fields, body, size_bytes, size)
