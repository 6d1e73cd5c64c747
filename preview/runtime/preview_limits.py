"""The limits of previews' processes, as the operator has set them."""

from __future__ import annotations

from preview.runtime.interface import Limits
from preview.settings import Settings

_MIB = 1024 * 1024


def limits_of(settings: Settings) -> Limits:
    """Return the operator's limits for each preview's processes."""
    return Limits(
        memory_bytes=settings.memory_limit_mb * _MIB,
        open_files=settings.max_open_files,
        processes=settings.max_processes,
        file_bytes=settings.max_file_bytes,
        cpu_cores=settings.cpu_limit,
        temp_bytes=settings.temp_limit_mb * _MIB,
    )
