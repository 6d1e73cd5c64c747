"""One live preview: its state, its log, its confinement, and what may be asked of it while it runs."""

from __future__ import annotations

__all__: list[str] = []
