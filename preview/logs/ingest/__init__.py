"""From the bytes that a process prints to lines with a level and a time."""

from __future__ import annotations

__all__: list[str] = []
