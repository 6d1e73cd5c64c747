"""Storage of lines: journal, batched writes to the database, paged reads and searches."""

from __future__ import annotations

__all__: list[str] = []
