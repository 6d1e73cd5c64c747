"""Commands that maintain a service: its database, its tokens, its machine."""

from __future__ import annotations

__all__: list[str] = []
