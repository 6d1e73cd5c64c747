"""Login codes: what stands in the one-time link that opens the page already logged in."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from preview.auth.box import CodeBox
from preview.core.clock import utc_now
from preview.errors import Unauthenticated
from preview.user import User


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and how long we may believe so.

    Attributes:
        user: Who is asking.
        expires_at: Aware, UTC: when the token that said so ends. A stream does not outlive it.
    """

    user: User
    expires_at: datetime


class Authenticator(Protocol):
    """Tells who a token stands for; ``JwtAuthenticator`` is ours, a host may bring its own."""

    async def authenticate(self, token: str) -> Identity:
        """Return the identity that the token proves.

        Args:
            token: As it came from outside, of any content and length.

        Raises:
            Unauthenticated: It proves nothing; ``details["reason"]`` says why in one word.

        Cancellation: nothing changes.
        """
        ...


# Time to read the terminal, and to carry the link to another window.
_TTL_S = 600.0
# One per start of the program; the rest is for a host that makes links for its users.
_MAX_SESSIONS_PER_USER = 20
_MAX_CODES = 1_000


class LoginCodes:
    """One-time codes of this process.

    Args:
        ttl_s: Seconds that a code is good for.
        clock: Seconds, never going back.
    """

    def __init__(self, ttl_s: float = _TTL_S, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._box: CodeBox[User] = CodeBox(
            ttl_s, max_per_owner=_MAX_SESSIONS_PER_USER, max_total=_MAX_CODES, clock=clock
        )

    def issue(self, user: User) -> str:
        """Return a new code, 43 URL-safe characters, that logs this user in once."""
        return self._box.put(user.id, user)

    def redeem(self, code: str) -> User:
        """Return the user whom the code logs in, and use it up.

        Raises:
            Unauthenticated: There is no such code, or it has been used or has expired.
        """
        user = self._box.pop(code)
        if user is None:
            raise Unauthenticated(
                "This login link has been used or has expired; request a new one from its source.", reason="login_code"
            )
        return user


# A page needs one per stream it opens; five times the 20 streams that a user may have open.
_MAX_TICKETS_PER_USER = 100
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
            ttl_s, max_per_owner=_MAX_TICKETS_PER_USER, max_total=_MAX_TICKETS, clock=clock
        )

    def issue(self, identity: Identity, preview_id: str) -> str:
        """Return a new ticket, 43 URL-safe characters, for this user and this preview."""
        return self._box.put(identity.user.id, (identity, preview_id))

    def redeem(self, ticket: str) -> tuple[Identity, str]:
        """Return the ticket's identity and preview id. The ticket stays valid until it expires.

        Raises:
            Unauthenticated: There is no such ticket (any more), or its user's token has expired meanwhile.
        """
        found = self._box.get(ticket)
        if found is None or found[0].expires_at <= utc_now():
            raise Unauthenticated("The stream ticket is unknown or has expired; get a new one.", reason="ticket")
        return found
