"""The audit trail: who did what to which preview, when, from where, and with what outcome."""

from __future__ import annotations

__all__: list[str] = []
