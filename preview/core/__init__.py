"""Basics that all packages use, and that import none of them."""

from __future__ import annotations

__all__: list[str] = []
