"""Reading a preview's stored lines, and deleting those whose time is over."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from preview.clock import now_ms
from preview.logs.batch import Batch, batches_of
from preview.logs.events import LogLine
from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import preview_instances, preview_logs

__all__ = ["LogStore", "Page"]

_C = preview_logs.c
_COLUMNS = (_C.seq, _C.timestamp, _C.level, _C.source, _C.message)
# One transaction of a retention run: short enough not to hold up the writer (SQLite has one).
_DELETE_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    """Stored lines as read in one transaction.

    Attributes:
        batches: Oldest first; a new one begins where numbers are missing.
        first_kept: Number of the preview's oldest stored line; 0 if there is none.
        full: As many lines as asked for, so there may be more.
    """

    batches: list[Batch]
    first_kept: int
    full: bool


class LogStore:
    """The stored lines of all previews. All methods run in threads and raise ``DatabaseUnavailable`` on an outage.

    Cancellation: each method reads or deletes as a whole, or not at all.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._retention_ms = int(settings.log_retention_s * 1000)

    async def read(self, preview_id: str, *, after: int, limit: int) -> list[LogLine]:
        """Up to ``limit`` lines behind number ``after``, oldest first. Missing numbers are simply not there.

        Cancellation: nothing changes.
        """
        page = await self.read_page(preview_id, after=after, limit=limit)
        return [line for batch in page.batches for line in batch]

    async def read_page(self, preview_id: str, *, after: int, limit: int, below: int | None = None) -> Page:
        """Up to ``limit`` lines with ``after < seq < below``, oldest first.

        Cancellation: nothing changes.
        """

        def query(connection: Connection) -> Page:
            wanted = select(*_COLUMNS).where(_C.preview_id == preview_id, _C.seq > after).order_by(_C.seq).limit(limit)
            if below is not None:
                wanted = wanted.where(_C.seq < below)
            rows = connection.execute(wanted).all()
            first = connection.scalar(select(func.min(_C.seq)).where(_C.preview_id == preview_id))
            return Page(batches_of(preview_id, rows), first or 0, len(rows) == limit)

        return await self._database.read(query)

    async def tail(self, preview_id: str, n: int) -> list[LogLine]:
        """The last ``n`` stored lines, oldest first.

        Cancellation: nothing changes.
        """

        def query(connection: Connection) -> list[LogLine]:
            wanted = select(*_COLUMNS).where(_C.preview_id == preview_id).order_by(_C.seq.desc()).limit(n)
            rows = connection.execute(wanted).all()
            return [line for batch in batches_of(preview_id, reversed(rows)) for line in batch]

        return await self._database.read(query)

    async def bounds(self, preview_id: str) -> tuple[int, int]:
        """First and last stored number; ``(0, 0)`` if nothing is stored.

        Cancellation: nothing changes.
        """

        def query(connection: Connection) -> tuple[int, int]:
            # Two lookups at the ends of the key; min and max in one statement would read all rows.
            ends = [
                connection.scalar(select(end(_C.seq)).where(_C.preview_id == preview_id))
                for end in (func.min, func.max)
            ]
            return ends[0] or 0, ends[1] or 0

        return await self._database.read(query)

    async def delete_expired(self) -> int:
        """Delete the lines of previews that ended longer ago than the retention time; returns how many lines.

        Cancellation: what was deleted so far stays deleted; the next run goes on.
        """
        deleted = 0
        before_ms = now_ms() - self._retention_ms
        while True:
            count = await self._database.write(lambda connection: _delete_some(connection, before_ms))
            deleted += count
            if not count:
                return deleted


def _delete_some(connection: Connection, before_ms: int) -> int:
    """Delete a bounded part of one expired preview's lines."""
    expired = (
        select(preview_instances.c.id)
        .where(
            preview_instances.c.stopped_at < before_ms,
            select(_C.seq).where(_C.preview_id == preview_instances.c.id).exists(),
        )
        .limit(1)
    )
    preview_id = connection.scalar(expired)
    if preview_id is None:
        return 0
    first = connection.scalar(select(func.min(_C.seq)).where(_C.preview_id == preview_id)) or 0
    gone = delete(preview_logs).where(_C.preview_id == preview_id, _C.seq < first + _DELETE_LINES)
    return connection.execute(gone).rowcount
