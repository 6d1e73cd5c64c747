"""Stored data snapshots: their rows, their folders, and copies for other nodes of a cluster."""

from __future__ import annotations

from preview.data.stored.store import SnapshotStore

__all__ = ["SnapshotStore"]
