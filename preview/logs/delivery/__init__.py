"""Lines to their readers: each line once and in order, or a gap that is named."""

from __future__ import annotations

__all__: list[str] = []
