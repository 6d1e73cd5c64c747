"""Limits of a preview: memory, processes, CPU time, disk and output."""

from __future__ import annotations

__all__: list[str] = []
