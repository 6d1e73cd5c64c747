"""Users. A module of its own, because every package from the supervisor up needs it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["User"]


@dataclass(frozen=True, slots=True)
class User:
    """A user.

    Attributes:
        id: The token's ``sub`` claim, or the host's own id.
        tier: ``free``, ``pro`` or ``enterprise``; None: the users table decides, else ``free``.
    """

    id: str
    tier: str | None = None
