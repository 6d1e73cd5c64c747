"""Paths of the probe's confined program."""

from __future__ import annotations

from pathlib import Path

CONFINED = Path(__file__).resolve().parent
"""The program's folder, which a sandbox must be able to read."""

PROGRAM = CONFINED / "preview_probe.py"
