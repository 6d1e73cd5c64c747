"""One preview from its launch to its end, in one task."""

from __future__ import annotations

__all__: list[str] = []
