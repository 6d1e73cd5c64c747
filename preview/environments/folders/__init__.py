"""An environment's folder: its place, its locks, and the mark of an unfinished one."""

from __future__ import annotations

__all__: list[str] = []
