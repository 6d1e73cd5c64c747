"""Hypercorn made strict: connections, HTTP/1.1, HTTP/2 and WebSockets within bounds."""

from __future__ import annotations

__all__: list[str] = []
