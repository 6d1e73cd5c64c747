"""An environment's folder: its place, its locks, and how an unfinished one is told."""

from __future__ import annotations

__all__: list[str] = []
