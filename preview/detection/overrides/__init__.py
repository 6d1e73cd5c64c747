"""What preview.toml or the launch decides in place of what was found."""

from __future__ import annotations

__all__: list[str] = []
