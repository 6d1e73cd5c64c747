"""The processes of a preview: start, readiness, exit, and the replacement of one by the next."""

from __future__ import annotations

__all__: list[str] = []
