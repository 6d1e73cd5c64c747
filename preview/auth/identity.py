"""Who a request comes from, and the one question that this package answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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
        """The identity that the token proves.

        Args:
            token: As it came from outside, of any content and length.

        Raises:
            Unauthenticated: It proves nothing; ``details["reason"]`` says why in one word.

        Cancellation: nothing changes.
        """
        ...
