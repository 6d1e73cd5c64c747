"""Delivery of lines to readers: each line once and in order, or an explicit gap."""

from __future__ import annotations

__all__: list[str] = []
