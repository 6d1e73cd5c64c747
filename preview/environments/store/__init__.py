"""The cache of environments: found, held while they are used, and removed when the disk is full."""

from __future__ import annotations

__all__: list[str] = []
