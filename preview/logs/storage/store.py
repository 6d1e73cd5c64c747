"""Reading a preview's stored lines. Deleting them is their preview's end in the database: ``PreviewStore``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, func, select

from preview.logs.model.batch import Batch, batches_of
from preview.logs.model.events import LogLine
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.searching import Found, find_lines
from preview.logs.storage.taking import take_rows
from preview.storage.database import Database
from preview.storage.tables import preview_logs

_C = preview_logs.c
_COLUMNS = (_C.seq, _C.timestamp, _C.level, _C.source, _C.message, _C.request_id)


@dataclass(frozen=True, slots=True)
class Page:
    """Stored lines as read in one transaction.

    Attributes:
        batches: Oldest first; a new one begins where numbers are missing.
        first_kept: Number of the preview's oldest stored line; 0 if there is none.
        full: As many lines as asked for, or as may be in memory at a time, so there may be more.
    """

    batches: list[Batch]
    first_kept: int
    full: bool


class LogStore:
    """The stored lines of all previews. All methods run in threads and raise ``DatabaseUnavailable`` on an outage.

    Cancellation: nothing changes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, preview_id: str, *, after: int, limit: int) -> list[LogLine]:
        """Up to ``limit`` lines behind number ``after``, oldest first. Missing numbers are simply not there.

        Cancellation: nothing changes.
        """
        page = await self.read_page(preview_id, after=after, limit=limit)
        return [line for batch in page.batches for line in batch]

    async def read_page(self, preview_id: str, *, after: int, limit: int, below: int | None = None) -> Page:
        """Up to ``limit`` lines with ``after < seq < below``, oldest first; of very long lines fewer.

        Cancellation: nothing changes.
        """

        def query(connection: Connection) -> Page:
            wanted = select(*_COLUMNS).where(_C.preview_id == preview_id, _C.seq > after).order_by(_C.seq)
            if below is not None:
                wanted = wanted.where(_C.seq < below)
            rows, is_cut = take_rows(connection, wanted, limit=limit)
            first = connection.scalar(select(func.min(_C.seq)).where(_C.preview_id == preview_id))
            return Page(batches_of(preview_id, rows), first or 0, is_cut)

        return await self._database.read(query)

    async def find(
        self, preview_id: str, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool
    ) -> Found:
        """See ``find_lines``. Cancellation: nothing changes."""
        return await self._database.read(
            partial(
                find_lines, preview_id=preview_id, chosen=chosen, first=first, last=last, limit=limit, newest=newest
            )
        )

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
