"""After a crash of the service: the lines that its journal still holds go to the database."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog
import trio
from sqlalchemy.exc import IntegrityError

from preview.logs.model.batch import Batch
from preview.logs.storage.journal import read_segments
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.storage.database import Database

_log = structlog.get_logger(__name__)


async def recover_lines(folder: Path, database: Database) -> int:
    """Store what is in the journal; how many lines it held, those among them that had been stored already.

    To be called before everything that reads or writes lines, under the lock of the data folder.

    Args:
        folder: See ``journal_folder``.
        database: At the newest revision.

    Raises:
        DatabaseUnavailable: The lines cannot be written; they stay in the journal.

    Cancellation: the file under way is kept; the next start reads it again.
    """
    lines = 0
    segments = await trio.to_thread.run_sync(lambda: list(read_segments(folder)))
    for path, batches in segments:
        for preview_id in dict.fromkeys(batch.preview_id for batch in batches):
            own = [batch for batch in batches if batch.preview_id == preview_id]
            lines += await _store(preview_id, own, database)
        await trio.to_thread.run_sync(partial(path.unlink, missing_ok=True))
    if lines:
        _log.warning("lines stored after a crash", lines=lines)
    return lines


async def _store(preview_id: str, batches: list[Batch], database: Database) -> int:
    runs = await encode_batches(batches)
    try:
        await database.write(partial(insert_rows, runs=runs))
    except IntegrityError:
        _log.warning("lines of a preview whose row is gone", preview_id=preview_id, lines=sum(map(len, batches)))
        return 0
    return sum(map(len, batches))
