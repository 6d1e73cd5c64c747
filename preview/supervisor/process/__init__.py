"""Processes of a preview: start, readiness, exit and replacement."""

from __future__ import annotations

__all__: list[str] = []
