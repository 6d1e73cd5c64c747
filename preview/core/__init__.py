"""Basics that all other packages import; this package imports none of them."""

from __future__ import annotations

__all__: list[str] = []
