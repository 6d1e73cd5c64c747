"""Request handling that all routes share: hosts, origins, queries, bodies, conditions, errors, responses."""

from __future__ import annotations

__all__: list[str] = []
