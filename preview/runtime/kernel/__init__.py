"""Facts from the kernel about processes: their tree, their identity, their owner."""

from __future__ import annotations

__all__: list[str] = []
