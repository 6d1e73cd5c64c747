"""Commands that read, save and replace the data of a preview."""

from __future__ import annotations

__all__: list[str] = []
