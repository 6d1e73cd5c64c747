"""What a preview is held in by, as ``v1`` writes it down; ``plan`` has the same in its own letter case."""

from __future__ import annotations

from preview.http.contracts.facts import Json
from preview.supervisor import Holding

__all__ = ["held"]


def held(holding: Holding | None) -> Json:
    """``isolation``, ``limits`` and ``reached``; the first two are null where they are not known (any more)."""
    if holding is None:
        return {"isolation": None, "limits": None, "reached": []}
    limits = holding.limits
    return {
        "isolation": {
            "runtime": holding.runtime,
            "network": holding.network.value,
            "holds": list(holding.described),
        },
        "limits": {
            "memory_mb": holding.memory_mb,
            "cpu_cores": holding.cpu_cores,
            "processes": holding.processes,
            "open_files": limits.open_files,
            "disk_mb": holding.disk_mb,
            "file_bytes": limits.file_bytes,
            "temp_bytes": None if holding.runtime == "plain" else limits.temp_bytes,
            "output_bytes_per_s": holding.output_bytes_per_s,
        },
        "reached": [{"limit": one.limit, "message": one.message} for one in holding.reached],
    }
