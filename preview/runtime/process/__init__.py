"""One process and its tree: started, verified, measured, ended."""

from __future__ import annotations

__all__: list[str] = []
