"""Diagnosis of a failed preview, as one sentence with advice."""

from __future__ import annotations

__all__: list[str] = []
