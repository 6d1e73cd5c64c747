"""Requirements, their sources and their limits."""

from __future__ import annotations

__all__: list[str] = []
