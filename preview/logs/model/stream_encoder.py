"""What one subscriber is sent: its events, and now and then how far its log was looked at."""

from __future__ import annotations

from collections.abc import Sequence

from preview.logs.model.batch import Batch
from preview.logs.model.encode import KEEP_ALIVE, Received, encode, progress
from preview.logs.model.encoding import Encoding, Format
from preview.logs.model.events import Gap

# So many lines are looked at again, at most, by a client that comes back: a page of the database.
_PROGRESS_LINES = 1000


class StreamEncoder:
    """Encodes for one subscriber, and says how far it is where its filter lets nothing through.

    Without that, a client whose filter seldom matches would come back far behind, and all lines since would be looked
    at again.

    Args:
        encoding: In which form; may be replaced between two events.
        start_seq: The last line that the client has already.

    Attributes:
        seen_seq: The last line that was looked at.
    """

    def __init__(self, encoding: Encoding, *, start_seq: int = 0) -> None:
        self.encoding = encoding
        self.seen_seq = start_seq
        # Invariant: the client knows that it has everything up to here.
        self._told_seq = start_seq

    @property
    def is_ahead(self) -> bool:
        """Whether lines were looked at of which the client does not know."""
        return self._told_seq < self.seen_seq

    def encode(self, events: Sequence[Received]) -> bytes:
        """The events as one chunk; empty where there is nothing to say."""
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

    def progress(self) -> bytes:
        """Says how far the log was looked at."""
        self._told_seq = self.seen_seq
        return progress(self.seen_seq, self.encoding.format)

    def idle(self) -> bytes:
        """What keeps the connection alive: a comment, or how far the log was looked at."""
        is_plain = self.encoding.format is Format.SSE and not self.is_ahead
        return KEEP_ALIVE if is_plain else self.progress()

    def _shows_last_line(self, batch: Batch) -> bool:
        chosen = self.encoding.filter
        return chosen.is_open or chosen.passes(batch.line_at(len(batch) - 1))
