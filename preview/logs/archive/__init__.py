"""Logs of ended previews as compressed files: their form, their place, and reading them."""

from __future__ import annotations

__all__: list[str] = []
