"""What a requirement is, where its package comes from, and what it is limited to."""

from __future__ import annotations

__all__: list[str] = []
