"""Commands for projects: their files, generations and lists."""

from __future__ import annotations

__all__: list[str] = []
