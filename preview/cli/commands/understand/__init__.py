"""Commands that show why a preview behaves as it does."""

from __future__ import annotations

__all__: list[str] = []
