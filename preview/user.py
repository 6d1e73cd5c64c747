"""Users: a leaf, because every package from the supervisor up needs them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["User"]


@dataclass(frozen=True, slots=True)
class User:
    """A user.

    Attributes:
        id: The ``sub`` claim, or the host's own id.
        tier: ``free``, ``pro``, ``enterprise``, or None (then the users table decides, else free).
    """

    id: str
    tier: str | None = None
