"""Roles of API tokens, from the least to all rights of the token's user."""

from __future__ import annotations

from enum import Enum


class TokenRole(Enum):
    """The requests that an API token may make. Each role contains the ones before it."""

    READ = "read"
    """Only those that change nothing, and show no variables of projects."""
    USE = "use"
    """Also requests to previews, replays, probes, checks, statements that read, comments."""
    LAUNCH = "launch"
    """Also new generations, launches, stops, changes of files, snapshots, and reading of variables."""
    ADMIN = "admin"
    """All of its user's, except for tokens, sessions and the operator's routes."""

    @classmethod
    def _missing_(cls, value: object) -> TokenRole | None:
        # The name of ``admin`` before there were four roles; stored tokens have it.
        return cls.ADMIN if value == "full" else None

    def contains(self, other: TokenRole) -> bool:
        """Return whether this role allows all that the other allows."""
        ranks = list(TokenRole)
        return ranks.index(self) >= ranks.index(other)
