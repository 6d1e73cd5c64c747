"""What every request meets: hosts, origins, queries and bodies, conditions, errors, answers."""

from __future__ import annotations

__all__: list[str] = []
