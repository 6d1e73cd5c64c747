"""Delivery of logs to readers: event streams, NDJSON, WebSockets, exports."""

from __future__ import annotations

__all__: list[str] = []
