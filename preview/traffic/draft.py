"""Drafts: requests as they were, before redaction. They exist in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from preview.traffic.record import Origin, Who

Fields = Sequence[tuple[bytes, bytes]]

# Estimated memory of a draft's objects besides its bytes.
_DRAFT_BYTES = 600


class DraftMessage(NamedTuple):
    """A request's or a response's fields and content, as sent.

    Attributes:
        fields: Fields in their order; or the header lines, each with its line end. Not changed any more.
        body: The first bytes of the content, at most ``BODY_BYTES``; still compressed, if it was.
        size_bytes: Size of the whole content.
        head_bytes: Approximate size of ``fields``.
    """

    fields: Fields | bytes
    body: bytes
    size_bytes: int
    head_bytes: int = 1024


class Draft(NamedTuple):
    """A request that has ended. A tuple, because one is made per request.

    Attributes:
        request_id: See ``RecordedRequest``; as are all others.
        ended_ms: End, in milliseconds since the epoch.
        queued: Seconds from the arrival; negative if that moment never came. Also the three that follow.
        first_line: Number of the first log line that may belong to it.
    """

    request_id: bytes
    origin: Origin
    who: Who
    method: str
    target: bytes
    status: int
    error: str | None
    ended_ms: int
    queued: float
    connected: float
    first_byte: float
    ended: float
    sent_bytes: int
    received_bytes: int
    reload: int
    first_line: int
    request: DraftMessage | None = None
    response: DraftMessage | None = None

    @property
    def size_bytes(self) -> int:
        """Approximate memory."""
        size = _DRAFT_BYTES + len(self.target)
        if self.request is None:
            return size
        for message in (self.request, self.response):
            if message is not None:
                size += len(message.body) + message.head_bytes
        return size

    def bare(self) -> Draft:
        """Return the draft without headers and bodies."""
        return self._replace(request=None, response=None)
