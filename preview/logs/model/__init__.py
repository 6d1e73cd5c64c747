"""Lines and events, and how they are written down."""

from __future__ import annotations

__all__: list[str] = []
