"""Cache of environments: finding, building, leasing and evicting them."""

from __future__ import annotations

__all__: list[str] = []
