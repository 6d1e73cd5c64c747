"""When a log stream ends from our side, and what it says then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import inf

from preview.core.clock import now_ms, utc_now
from preview.core.lifecycle import State, StopCause
from preview.logs import Encoding, End, encode, expired


@dataclass(frozen=True, slots=True)
class Farewell:
    """The end of one stream, other than its preview's.

    Attributes:
        preview_id: Whose log it is.
        encoding: In which form.
        expires_at: When the token that opened it ends; None never.
    """

    preview_id: str
    encoding: Encoding
    expires_at: datetime | None

    @property
    def remaining_s(self) -> float:
        """Seconds until the token's end."""
        return inf if self.expires_at is None else (self.expires_at - utc_now()).total_seconds()

    def due(self, *, draining: bool) -> bytes | None:
        """The last words, where it is time for them."""
        if draining:
            reason = "stopped: the service is shutting down"
            cause = StopCause.SHUTDOWN.value
            goodbye = End(self.preview_id, State.STOPPED.value, reason, None, None, now_ms(), cause)
            return encode([goodbye], self.encoding)
        return expired(self.encoding.format) if self.remaining_s <= 0 else None
