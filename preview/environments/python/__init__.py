"""Python environments: choice of versions, installation, and explanation of failures."""

from __future__ import annotations

__all__: list[str] = []
