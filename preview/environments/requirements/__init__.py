"""Requirements, their sources, and limits on their versions."""

from __future__ import annotations

__all__: list[str] = []
