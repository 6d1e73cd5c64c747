"""Information from the kernel about processes: tree, identity and owner."""

from __future__ import annotations

__all__: list[str] = []
