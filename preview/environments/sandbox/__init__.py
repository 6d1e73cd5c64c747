"""Programs that build environments, each in a jail: uv, the interpreters, and their network access."""

from __future__ import annotations

__all__: list[str] = []
