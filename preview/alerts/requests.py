"""Requests to a preview as rules see them: their facts, without headers and bodies, and without secrets."""

from __future__ import annotations

from typing import Final

from preview.traffic import Draft, RecordedRequest, Timing
from preview.traffic.redaction import Redaction, Redactor

_MOST_TARGET_BYTES: Final = 4096
"""Rules see this much of a target; the time of redaction grows with it."""


class RequestReader:
    """Turns the drafts of one preview's requests into records.

    Args:
        preview_id: The preview.
    """

    def __init__(self, preview_id: str) -> None:
        self._preview_id = preview_id
        self._redactor = Redactor()

    def read(self, number: int, draft: Draft, last_line: int) -> RecordedRequest:
        """Return the record of a draft.

        Args:
            number: The request's number.
            draft: The request, with or without headers and bodies.
            last_line: Number of the log's newest line when it ended.
        """
        return RecordedRequest(
            preview_id=self._preview_id,
            number=number,
            request_id=draft.request_id.decode("latin-1"),
            started_ms=draft.ended_ms - round(draft.ended * 1000),
            origin=draft.origin,
            who=draft.who,
            method=draft.method,
            target=Redaction(self._redactor).target(draft.target[:_MOST_TARGET_BYTES].decode("latin-1")),
            status=draft.status,
            error=draft.error,
            timing=Timing(_ms(draft.queued), _ms(draft.connected), _ms(draft.first_byte), draft.ended * 1000),
            sent_bytes=draft.sent_bytes,
            received_bytes=draft.received_bytes,
            reload=draft.reload,
            first_line=draft.first_line,
            last_line=max(draft.first_line - 1, last_line),
        )


def _ms(seconds: float) -> float | None:
    return None if seconds < 0 else seconds * 1000
