"""Overrides of the detection, from preview.toml or the launch request."""

from __future__ import annotations

__all__: list[str] = []
