"""Node environments: ``node_modules``, built from a project's requirements and cached."""

from __future__ import annotations

__all__: list[str] = []
