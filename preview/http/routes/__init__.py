"""Every route of the app."""

from __future__ import annotations

__all__: list[str] = []
