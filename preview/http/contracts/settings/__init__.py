"""Launch settings of projects, and what detection decides without them; only contract ``v1`` has them."""

from __future__ import annotations

__all__: list[str] = []
