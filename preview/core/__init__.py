"""What all packages use, and what imports nothing of them."""

from __future__ import annotations

__all__: list[str] = []
