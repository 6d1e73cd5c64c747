"""Databases and brokers that a project needs, and what it is given in their place."""

from __future__ import annotations

__all__: list[str] = []
