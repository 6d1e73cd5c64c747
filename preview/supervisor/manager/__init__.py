"""All previews of the service: who may launch what, what is alive, and what a crash has left."""

from __future__ import annotations

__all__: list[str] = []
