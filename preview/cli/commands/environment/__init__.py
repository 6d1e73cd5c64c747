"""Commands for the launch settings of projects."""

from __future__ import annotations

__all__: list[str] = []
