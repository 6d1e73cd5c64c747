"""Lines in the database and in the journal before it: written in batches, read by pages, searched."""

from __future__ import annotations

__all__: list[str] = []
