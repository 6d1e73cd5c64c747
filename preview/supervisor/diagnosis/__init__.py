"""Why a preview fails, in one sentence that says what to do."""

from __future__ import annotations

__all__: list[str] = []
