"""Databases and brokers that a project needs, and their replacements in a preview."""

from __future__ import annotations

__all__: list[str] = []
