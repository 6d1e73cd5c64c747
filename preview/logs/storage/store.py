"""Reading of stored lines. ``PreviewStore`` deletes them, with their preview."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import structlog
import trio
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import IntegrityError

from preview.errors import DatabaseUnavailable
from preview.logs.model.batch import Batch, batches_of
from preview.logs.model.events import Gap, LogLine
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.archived import ArchivedLogs
from preview.logs.storage.journal import read_segments
from preview.logs.storage.rows import encode_batches, insert_rows
from preview.logs.storage.searching import Found, Page, find_lines, first_kept, take_rows
from preview.storage.database import Database
from preview.storage.people_tables import owners
from preview.storage.tables import preview_logs

_C = preview_logs.c
_COLUMNS = (_C.seq, _C.timestamp, _C.level, _C.source, _C.message, _C.request_id)


class LogStore:
    """The stored lines of all previews. Methods run in threads and raise ``DatabaseUnavailable`` in an outage.

    Args:
        database: Lines of live previews, and of those that have just ended.
        archived: Lines of others; None without an archive. Also an attribute.

    Cancellation: nothing changes.
    """

    def __init__(self, database: Database, archived: ArchivedLogs | None = None) -> None:
        self._database = database
        self.archived = archived

    async def read(self, preview_id: str, *, after: int, limit: int) -> list[LogLine]:
        """Return up to ``limit`` lines after number ``after``, oldest first; missing numbers are skipped.

        Cancellation: nothing changes.
        """
        page = await self.read_page(preview_id, after=after, limit=limit)
        return [line for batch in page.batches for line in batch]

    async def read_page(self, preview_id: str, *, after: int, limit: int, below: int | None = None) -> Page:
        """Return up to ``limit`` lines with ``after < seq < below``, oldest first; fewer if lines are very long.

        Cancellation: nothing changes.
        """
        if self.archived is not None and await self.archived.has(preview_id):
            return await self.archived.read_page(preview_id, after=after, limit=limit, below=below)

        def query(connection: Connection) -> Page:
            wanted = select(*_COLUMNS).where(_C.preview_id == preview_id, _C.seq > after).order_by(_C.seq)
            if below is not None:
                wanted = wanted.where(_C.seq < below)
            rows, is_cut = take_rows(connection, wanted, limit=limit)
            return Page(batches_of(preview_id, rows), first_kept(connection, preview_id), is_cut)

        return await self._database.read(query)

    async def find(
        self, preview_id: str, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool
    ) -> Found:
        """Search lines, see ``find_lines``. Cancellation: nothing changes."""
        if self.archived is not None and await self.archived.has(preview_id):
            return await self.archived.find(preview_id, chosen, first=first, last=last, limit=limit, newest=newest)
        return await self._database.read(
            partial(
                find_lines, preview_id=preview_id, chosen=chosen, first=first, last=last, limit=limit, newest=newest
            )
        )

    async def tail(self, preview_id: str, n: int) -> list[LogLine]:
        """Return the last ``n`` stored lines, oldest first.

        Cancellation: nothing changes.
        """
        if self.archived is not None and await self.archived.has(preview_id):
            return await self.archived.tail(preview_id, n)

        def query(connection: Connection) -> list[LogLine]:
            wanted = select(*_COLUMNS).where(_C.preview_id == preview_id).order_by(_C.seq.desc()).limit(n)
            rows = connection.execute(wanted).all()
            return [line for batch in batches_of(preview_id, reversed(rows)) for line in batch]

        return await self._database.read(query)

    async def bounds(self, preview_id: str) -> tuple[int, int]:
        """Return the first and last stored number; ``(0, 0)`` if nothing is stored.

        Cancellation: nothing changes.
        """
        if self.archived is not None and await self.archived.has(preview_id):
            return await self.archived.bounds(preview_id)

        def query(connection: Connection) -> tuple[int, int]:
            # Two lookups at the ends of the index; min and max in one statement would read all rows.
            ends = [
                connection.scalar(select(end(_C.seq)).where(_C.preview_id == preview_id))
                for end in (func.min, func.max)
            ]
            return ends[0] or 0, ends[1] or 0

        return await self._database.read(query)


# Lines of one page: 2 ms to read, some 200 KiB as frames.
PAGE_LINES = 1000
# Maximum wait of a reader for queued lines to be stored.
_SETTLE_S = 10.0


async def settled(writing: Awaitable[None], preview_id: str) -> None:
    """Wait for ``writing``, as lines that the database lacks may still be queued.

    Raises:
        DatabaseUnavailable: Writing took too long.

    Cancellation: nothing changes.
    """
    with trio.move_on_after(_SETTLE_S) as scope:
        await writing
    if scope.cancelled_caught:
        raise DatabaseUnavailable(
            f"Lines of preview {preview_id} wait for the database, which does not answer; try again in a moment.",
            preview_id=preview_id,
        )


async def read_events(
    store: LogStore, preview_id: str, *, expected: int, below: int | None = None
) -> list[Batch | Gap]:
    """Return the next page from line ``expected`` on; empty if no later line is stored.

    Args:
        store: Reads the lines.
        preview_id: The preview.
        expected: Number of the next line to deliver.
        below: End of the range to read: lines missing before this number are reported as a gap.

    Raises:
        DatabaseUnavailable: The database did not respond.

    Cancellation: nothing changes.
    """
    page = await store.read_page(preview_id, after=expected - 1, limit=PAGE_LINES, below=below)

    def missing(first: int, last: int) -> Gap:
        return Gap(first, last, "retention" if first < page.first_kept else "lost")

    events: list[Batch | Gap] = []
    for batch in page.batches:
        if batch.first_seq > expected:
            events.append(missing(expected, batch.first_seq - 1))
        events.append(batch)
        expected = batch.last_seq + 1
    if below is not None and not page.full and expected < below:
        events.append(missing(expected, below - 1))
    return events


_log = structlog.get_logger(__name__)


async def recover_lines(folder: Path, database: Database, node: str | None = None) -> int:
    """Store the journal's lines; return their number, including lines that were already stored.

    Call this before anything reads or writes lines, with the data folder locked.

    Args:
        folder: See ``journal_folder``.
        database: A database with the newest schema.
        node: This node of a cluster, before it joins; None if it is none. Lines that follow those of a later owner are
            lost: their numbers are that owner's.

    Raises:
        DatabaseUnavailable: The lines cannot be written; they stay in the journal.

    Cancellation: the current file stays; the next start reads it again.
    """
    lines = 0
    segments = await trio.to_thread.run_sync(lambda: list(read_segments(folder)))
    for path, batches in segments:
        for preview_id in dict.fromkeys(batch.preview_id for batch in batches):
            own = [batch for batch in batches if batch.preview_id == preview_id]
            lines += await _store(preview_id, own, database, node)
        await trio.to_thread.run_sync(partial(path.unlink, missing_ok=True))
    if lines:
        _log.warning("journal lines stored", lines=lines)
    return lines


async def _store(preview_id: str, batches: list[Batch], database: Database, node: str | None) -> int:
    try:
        if node is not None:
            # No owner changes it: each leaves out numbers for these lines.
            end = await database.read(partial(_end_of_own, preview_id=preview_id, node=node))
            batches = [batch for batch in batches if end is None or batch.last_seq < end]
        runs = await encode_batches(batches)
        await database.write(partial(insert_rows, runs=runs))
    except IntegrityError:
        _log.warning("journal preview has no row", preview_id=preview_id, lines=sum(map(len, batches)))
        return 0
    return sum(map(len, batches))


def _end_of_own(connection: Connection, *, preview_id: str, node: str) -> int | None:
    """Return the number of the first line of a later owner; None if there is none."""
    query = select(owners.c.first_seq).where(owners.c.preview_id == preview_id, owners.c.node != node)
    return connection.scalar(query)
