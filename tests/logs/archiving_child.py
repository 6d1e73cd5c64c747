"""Stores and archives logs until it is killed; it prints each preview whose lines are stored.

Arguments: the database's address, the archive's folder, and the first number.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import count
from pathlib import Path

import structlog
import trio
from archive_kit import lines
from log_room import Room, make_settings

from preview.logs import LogStore, LogWriter
from preview.logs.archive.archive import Archive
from preview.logs.archive.place import Folder
from preview.logs.model.batch import batches_of
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.archiving import archive_one
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.storage.database import open_database

LINES = 2_000


async def main(address: str, folder: str, first: str) -> None:
    """Store and archive one log after another."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    configured = make_settings(Path(folder))
    async with open_database(address, 60) as database:
        archived = ArchivedLogs(database, Archive(Folder(Path(folder))))
        await archived.claim()
        room = Room(configured, database, LogStore(database), LogWriter(database, configured))
        for number in count(int(first)):
            preview_id = f"preview_{number}"
            await room.add_preview(preview_id, stopped_at=1)
            runs = await encode_batches(batches_of(preview_id, lines(LINES)))
            await database.write(partial(insert_rows, runs=runs))
            print(number, flush=True)
            await archive_one(archived, preview_id)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
