"""The folder of an environment: its layout, its locks, and cleanup of an unfinished one."""

from __future__ import annotations

__all__: list[str] = []
