"""One process tree: spawning, membership, measurement and end."""

from __future__ import annotations

__all__: list[str] = []
