"""Checks of this machine, and the installation of missing programs."""

from __future__ import annotations

__all__: list[str] = []
