"""What this machine offers, and how what is missing is installed."""

from __future__ import annotations

__all__: list[str] = []
