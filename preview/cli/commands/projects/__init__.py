"""Commands for lists of projects and previews, and what changes a project as a whole."""

from __future__ import annotations

__all__: list[str] = []
