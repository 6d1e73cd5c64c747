"""Management of all previews: claims and limits, queries, cleanup, and recovery after a crash."""

from __future__ import annotations

__all__: list[str] = []
