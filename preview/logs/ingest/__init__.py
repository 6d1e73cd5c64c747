"""From a process's output bytes to lines with level and time."""

from __future__ import annotations

__all__: list[str] = []
