"""Failures: tracebacks in a log become records, one for each cause."""

from __future__ import annotations

__all__: list[str] = []
