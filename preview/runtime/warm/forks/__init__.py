"""Processes forked from a template or a snapshot: request, verification, reservation and measurement."""

from __future__ import annotations

__all__: list[str] = []
