"""The size of a preview's own databases, watched like its disk."""

from __future__ import annotations

import trio

from preview.settings import Settings
from preview.supervisor.limits.limits import stop_for
from preview.supervisor.preview.live_preview import LivePreview

_MIB = 1024 * 1024
# Measuring takes PostgreSQL some milliseconds.
_LOOK_S = 5.0


async def watch_databases(preview: LivePreview, settings: Settings) -> None:
    """End the preview when its databases together are larger than allowed. Cancellation: nothing changes."""
    limit_bytes = settings.database_size_mb * _MIB
    while True:
        await trio.sleep(_LOOK_S)
        sizes = [await database.measure() for database in preview.servers.all()]
        used_bytes = sum(size for size in sizes if size is not None)
        if used_bytes > limit_bytes:
            stop_for(
                preview,
                "database",
                f"stopped: its databases have {used_bytes // _MIB} MB, and {settings.database_size_mb} MB are allowed: "
                "raise PREVIEW_DATABASE_SIZE_MB, or let it store less",
                limit_bytes=limit_bytes,
                used_bytes=used_bytes,
            )
