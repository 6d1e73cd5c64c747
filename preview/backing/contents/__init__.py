"""The contents of previews' databases: saved, loaded, listed and queried."""

from __future__ import annotations

__all__: list[str] = []
