"""One live preview: its state, its log, its confinement, and the changes requested while it runs."""

from __future__ import annotations

__all__: list[str] = []
