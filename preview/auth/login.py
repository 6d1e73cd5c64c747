"""Login codes: what stands in the one-time link that opens the page already logged in."""

from __future__ import annotations

import time
from collections.abc import Callable

from preview.auth.box import CodeBox
from preview.errors import Unauthenticated
from preview.user import User

# Time to read the terminal, and to carry the link to another window.
_TTL_S = 600.0
# One per start of the program; the rest is for a host that makes links for its users.
_MAX_PER_USER = 20
_MAX_CODES = 1_000


class LoginCodes:
    """One-time codes of this process.

    Args:
        ttl_s: Seconds that a code is good for.
        clock: Seconds, never going back.
    """

    def __init__(self, ttl_s: float = _TTL_S, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._box: CodeBox[User] = CodeBox(ttl_s, max_per_owner=_MAX_PER_USER, max_total=_MAX_CODES, clock=clock)

    def issue(self, user: User) -> str:
        """A new code, 43 URL-safe characters, that logs this user in once."""
        return self._box.put(user.id, user)

    def redeem(self, code: str) -> User:
        """Who the code logs in; it is used up with this.

        Raises:
            Unauthenticated: There is no such code, or it has been used or has expired.
        """
        user = self._box.pop(code)
        if user is None:
            raise Unauthenticated(
                "This login link has been used or has expired; ask for a new one where you got it.", reason="login_code"
            )
        return user
