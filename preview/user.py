"""Who is asking: a leaf, because every room from the supervisor up speaks of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["User"]


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking.

    Attributes:
        id: The ``sub`` claim, or the host's own id.
        tier: ``free``, ``pro``, ``enterprise``, or None (then the users table decides, else free).
    """

    id: str
    tier: str | None = None
