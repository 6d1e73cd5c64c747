"""The size of a preview's own databases, watched like its disk."""

from __future__ import annotations

import trio

from preview.settings import Settings
from preview.supervisor.limits.limits import stop_for
from preview.supervisor.preview.live_preview import LivePreview

_MIB = 1024 * 1024
# Measuring takes PostgreSQL some milliseconds.
_LOOK_S = 5.0
# While they grow by this part of the limit from one look to the next, the looks come sooner.
_FAST = 0.1
_SOON_S = 0.5


async def watch_databases(preview: LivePreview, settings: Settings) -> None:
    """End the preview when its databases together are larger than allowed. Cancellation: nothing changes."""
    limit_bytes = settings.database_size_mb * _MIB
    before_bytes, pause_s = 0, _LOOK_S
    while True:
        await trio.sleep(pause_s)
        sizes = [await database.measure() for database in preview.servers.all()]
        used_bytes = sum(size for size in sizes if size is not None)
        if used_bytes > limit_bytes:
            stop_for(
                preview,
                "database",
                f"stopped: its databases use {used_bytes // _MIB} MB, and the limit is {settings.database_size_mb} "
                "MB: raise PREVIEW_DATABASE_SIZE_MB, or store less data",
                limit_bytes=limit_bytes,
                used_bytes=used_bytes,
            )
        pause_s = _SOON_S if used_bytes - before_bytes > _FAST * limit_bytes * pause_s / _LOOK_S else _LOOK_S
        before_bytes = used_bytes
