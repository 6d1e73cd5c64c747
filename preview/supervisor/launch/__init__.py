"""From a project's files to all that its process needs: plan, folders, environment, variables, steps."""

from __future__ import annotations

__all__: list[str] = []
