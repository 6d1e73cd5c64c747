"""What the kernel says of processes: their tree, their identity, and which of them are ours."""

from __future__ import annotations

__all__: list[str] = []
