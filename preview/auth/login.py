"""User identities, one-time login codes, and tickets for log streams."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from preview.auth.box import CodeBox
from preview.auth.guests import Guest
from preview.auth.token_roles import TokenRole
from preview.core.clock import utc_now
from preview.errors import Unauthenticated
from preview.user import User


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated user, and the end of the authentication.

    Attributes:
        user: The authenticated user; for a guest, the owner of the preview that the guest was invited to.
        expires_at: Expiry of the token, aware, UTC. A stream ends at this time.
        token_id: Id of an API token, which can be revoked at any time; None for other tokens.
        guest: The guest of a share link; None for a user.
        role: Role of the API token or the member; other users have all rights.
        is_member: Whether an invitation has admitted the user, who can be removed at any time.
    """

    user: User
    expires_at: datetime
    token_id: str | None = None
    guest: Guest | None = None
    role: TokenRole = TokenRole.ADMIN
    is_member: bool = False

    @classmethod
    def of_guest(cls, guest: Guest, owner_id: str) -> Identity:
        """Return the identity of a guest of this user's preview. It ends with the share link."""
        return cls(User(owner_id), datetime.fromtimestamp(guest.expires_at, UTC), guest=guest)

    @property
    def key(self) -> str:
        """The person to whom limits apply: a guest uses nothing up of the owner's. No user id has a line break.

        The part before the last line break names the guests of one preview, who also have limits together.
        """
        return self.user.id if self.guest is None else f"guest\n{self.guest.preview_id}\n{self.guest.id}"

    @property
    def revocable(self) -> str | None:
        """Key of requests that must end when the access is revoked; None if it only expires."""
        if self.guest is not None:
            return f"guest {self.guest.id}"
        if self.token_id is not None:
            # A member's tokens are revoked with the member.
            return f"token {self.token_id}"
        return f"member {self.user.id}" if self.is_member else None


class Authenticator(Protocol):
    """Determines the user of a bearer token. ``JwtAuthenticator`` is the default; a host may provide another."""

    async def authenticate(self, token: str) -> Identity:
        """Return the identity that the token proves.

        Args:
            token: Untrusted text of any content and length.

        Raises:
            Unauthenticated: The token is not valid; ``details["reason"]`` gives the reason in one word.

        Cancellation: no state changes.
        """
        ...


# Time to read the terminal and to open the link in another window.
_TTL_S = 600.0
# The program makes one per start; the rest is for hosts that make links for their users.
_MAX_SESSIONS_PER_USER = 20
_MAX_CODES = 1_000


class LoginCodes:
    """One-time codes of this process.

    Args:
        ttl_s: Seconds that a code is valid.
        clock: Returns monotonic seconds.
    """

    def __init__(self, ttl_s: float = _TTL_S, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._box: CodeBox[User] = CodeBox(
            ttl_s, max_per_owner=_MAX_SESSIONS_PER_USER, max_total=_MAX_CODES, clock=clock
        )

    def issue(self, user: User) -> str:
        """Return a new code, 43 URL-safe characters, that logs this user in once."""
        return self._box.put(user.id, user)

    def redeem(self, code: str) -> User:
        """Return the user whom the code logs in, and invalidate the code.

        Raises:
            Unauthenticated: The code is unknown, used or expired.
        """
        user = self._box.pop(code)
        if user is None:
            raise Unauthenticated(
                "This sign-in link has been used or has expired; `preview serve` and `preview run` print a new one "
                "when they start.",
                reason="login_code",
            )
        return user


# A page needs one per opened stream; this is five times the 20 streams that a user may have open.
_MAX_TICKETS_PER_USER = 100
# About 600 bytes each: 6 MB at most.
_MAX_TICKETS = 10_000


class TicketBox:
    """Stream tickets of this process, each for one user and one preview. Reconnecting browsers may reuse them.

    Args:
        ttl_s: Seconds that a ticket is valid; never longer than the token that requested it.
        clock: Returns monotonic seconds.
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
            Unauthenticated: The ticket is unknown or expired, or its user's token has expired meanwhile.
        """
        found = self._box.get(ticket)
        if found is None or found[0].expires_at <= utc_now():
            raise Unauthenticated("The stream ticket is unknown or has expired; get a new one.", reason="ticket")
        return found
