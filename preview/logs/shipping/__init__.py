"""Lines of all previews for another system, while they come."""

from __future__ import annotations

__all__: list[str] = []
