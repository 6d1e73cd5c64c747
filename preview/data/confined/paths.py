"""Paths of the confined programs."""

from __future__ import annotations

from pathlib import Path

CONFINED = Path(__file__).resolve().parent
"""The programs' folder, which a sandbox must be able to read."""

SQLITE = CONFINED / "preview_sqlite.py"
COMPARE = CONFINED / "preview_compare.py"
