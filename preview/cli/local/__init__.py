"""A backend that runs in this process: launch, file watching, reload, output and shutdown."""

from __future__ import annotations

__all__: list[str] = []
