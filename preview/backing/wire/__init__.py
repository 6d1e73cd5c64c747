"""The first messages of connections with servers, rewritten so that they lead to the preview's own database."""

from __future__ import annotations

__all__: list[str] = []
