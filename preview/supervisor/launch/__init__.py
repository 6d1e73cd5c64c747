"""Preparation of a preview's processes: plan, folders, environment, variables, steps."""

from __future__ import annotations

__all__: list[str] = []
