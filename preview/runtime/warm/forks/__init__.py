"""Processes forked from a template or a snapshot: asked for, verified, reserved, measured."""

from __future__ import annotations

__all__: list[str] = []
