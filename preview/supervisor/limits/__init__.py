"""The bounds of a preview: memory, processes, processor time, disk and output."""

from __future__ import annotations

__all__: list[str] = []
