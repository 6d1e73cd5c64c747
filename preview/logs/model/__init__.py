"""Lines and events, and their encodings."""

from __future__ import annotations

__all__: list[str] = []
