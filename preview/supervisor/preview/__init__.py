"""One live preview: its state, log, confinement, and requested changes."""

from __future__ import annotations

__all__: list[str] = []
