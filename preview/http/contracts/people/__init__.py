"""Models about people: together at one preview, accounts, operators. Only contract ``v1`` has them."""

from __future__ import annotations

__all__: list[str] = []
