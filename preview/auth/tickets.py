"""Stream tickets: for ``EventSource``, which can send no header but comes back to the same address by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from preview.auth.box import CodeBox
from preview.auth.identity import Identity
from preview.core.clock import utc_now
from preview.errors import Unauthenticated

# A page needs one per stream it opens; five times the 20 streams that a user may have open.
_MAX_PER_USER = 100
# About 600 bytes each: 6 MB at most.
_MAX_TICKETS = 10_000


class TicketBox:
    """Tickets of this process: one user, one preview, good for a while and, since a browser reconnects, repeatedly.

    Args:
        ttl_s: Seconds that a ticket is good for; never longer than the token it was made with.
        clock: Seconds, never going back.
    """

    def __init__(self, ttl_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._box: CodeBox[tuple[Identity, str]] = CodeBox(
            ttl_s, max_per_owner=_MAX_PER_USER, max_total=_MAX_TICKETS, clock=clock
        )

    def issue(self, identity: Identity, preview_id: str) -> str:
        """A new ticket, 43 URL-safe characters, for this user and this preview."""
        return self._box.put(identity.user.id, (identity, preview_id))

    def redeem(self, ticket: str) -> tuple[Identity, str]:
        """Whose ticket it is and the preview's id; the ticket stays good until it expires.

        Raises:
            Unauthenticated: There is no such ticket (any more), or its user's token has expired meanwhile.
        """
        found = self._box.get(ticket)
        if found is None or found[0].expires_at <= utc_now():
            raise Unauthenticated("The stream ticket is unknown or has expired; get a new one.", reason="ticket")
        return found
