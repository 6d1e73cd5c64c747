"""The administrators of the shared servers: sessions that do not believe the server."""

from __future__ import annotations

__all__: list[str] = []
