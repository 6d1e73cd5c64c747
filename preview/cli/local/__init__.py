"""A backend that runs here and now: launch, watch, reload, the story of it, and its end."""

from __future__ import annotations

__all__: list[str] = []
