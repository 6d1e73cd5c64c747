"""The programs that build environments, each in a jail: uv, the interpreters, and what they may reach."""

from __future__ import annotations

__all__: list[str] = []
