"""Backups of a service: one file with the database, the keys, and what the data folder has beside them."""

from __future__ import annotations

__all__: list[str] = []
