"""The life of one preview, from launch to end, in one task."""

from __future__ import annotations

__all__: list[str] = []
