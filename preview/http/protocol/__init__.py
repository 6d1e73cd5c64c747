"""Stricter and bounded versions of Hypercorn's connections, HTTP/1.1, HTTP/2 and WebSockets."""

from __future__ import annotations

__all__: list[str] = []
