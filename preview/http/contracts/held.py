"""A preview's isolation in ``v1``; ``plan`` has the same in its own letter case."""

from __future__ import annotations

from preview.http.contracts.facts import Json
from preview.supervisor import Confinement


def held(confinement: Confinement | None) -> Json:
    """``isolation``, ``limits`` and ``reached``; the first two are null where they are not known (any more)."""
    if confinement is None:
        return {"isolation": None, "limits": None, "reached": []}
    limits = confinement.limits
    return {
        "isolation": {
            "runtime": confinement.runtime,
            "network": confinement.network.value,
            "holds": list(confinement.described),
        },
        "limits": {
            "memory_mb": confinement.memory_mb,
            "cpu_cores": confinement.cpu_cores,
            "processes": confinement.processes,
            "open_files": limits.open_files,
            "disk_mb": confinement.disk_mb,
            "file_bytes": limits.file_bytes,
            "temp_bytes": None if confinement.runtime == "plain" else limits.temp_bytes,
            "output_bytes_per_s": confinement.output_bytes_per_s,
        },
        "reached": [{"limit": one.limit, "message": one.message} for one in confinement.reached],
    }
