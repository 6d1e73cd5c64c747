"""A Python environment: which versions, how they are installed, and why that fails."""

from __future__ import annotations

__all__: list[str] = []
