"""Moves the logs of ended previews from the database to the archive, and reads them there.

The order of the steps: the file is written, synchronised and renamed; its row is committed; the lines are deleted from
the database; the row says so. After a kill between any two of them, the next start does the rest: a file without a row
is written again, and lines that a row's file has are deleted again. Readers use the file from the row's commit on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import trio
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from preview.core.bounded_dict import BoundedDict
from preview.core.clock import now_ms
from preview.core.lifecycle import ACTIVE
from preview.errors import DatabaseUnavailable
from preview.logs.archive.archive import Archive, missing
from preview.logs.archive.form import Index, Packer
from preview.logs.archive.place import name_of, place_at
from preview.logs.model.batch import StoredLine
from preview.logs.model.events import Gap, LogLine
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.searching import Found, Page
from preview.logs.storage.writer import LogWriter
from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import archived_logs, preview_instances, preview_logs

log = structlog.get_logger(__name__)

T = TypeVar("T")

_A, _C, _P = archived_logs.c, preview_logs.c, preview_instances.c
_COLUMNS = (_C.seq, _C.timestamp, _C.level, _C.source, _C.message, _C.request_id)
# Lines of one query, some 20 ms; and the text of one, which is in memory.
_READ_LINES = 8_192
_DELETE_LINES = 10_000
# Previews that one round looks at.
_ROUND = 100
_EACH_S = 15.0
_SWEEP_S = 3600.0
# Previews whose place is known. Others are looked up, in a fraction of a millisecond.
_MOST_KNOWN = 10_000
# Another service on the same database may archive a log: so long it may read as removed.
_ABSENT_MS = 30_000
_READERS = 4


class ArchivedLogs:
    """The archive, and the table that says which logs are in it.

    Attributes:
        logs: Logs that were archived since the start.
        lines: Their lines.
        failures: Rounds that failed since the start.
    """

    def __init__(self, database: Database, archive: Archive) -> None:
        self.database = database
        self.archive = archive
        self._limiter = trio.CapacityLimiter(_READERS)
        self._known: BoundedDict[str, int] = BoundedDict(_MOST_KNOWN)
        self.logs = self.lines = self.failures = 0

    async def has(self, preview_id: str) -> bool:
        """Return whether a log is in the archive. Cancellation: nothing changes."""
        since = self._known.use(preview_id)
        if since is not None and (since == 0 or now_ms() - since < _ABSENT_MS):
            return since == 0
        query = select(_A.preview_id).where(_A.preview_id == preview_id)
        found = await self.database.read(lambda connection: connection.scalar(query))
        # 0: it is. Else the time at which it was not.
        self._known[preview_id] = now_ms() if found is None else 0
        return found is not None

    def learn(self, preview_id: str) -> None:
        """Note that a log is in the archive now."""
        self.archive.forget(preview_id)
        self._known[preview_id] = 0

    async def read_page(self, preview_id: str, *, after: int, limit: int, below: int | None) -> Page:
        """Return lines, see ``LogStore.read_page``. Cancellation: nothing changes."""
        batches, is_full = await self.call(
            partial(self.archive.page, preview_id, after=after, limit=limit, below=below)
        )
        return Page(batches, (await self.bounds(preview_id))[0], is_full)

    async def find(
        self, preview_id: str, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool
    ) -> Found:
        """Search lines, see ``find_lines``. Cancellation: nothing changes."""

        def search() -> Found:
            hits = self.archive.find(preview_id, chosen, first=first, last=last, limit=limit, newest=newest)
            index = self.archive.index(preview_id)
            # The same reasons as in ``store.read_events``.
            gaps = [
                Gap(low, high, "retention" if low < index.first else "lost")
                for low, high in missing(index, hits.first, hits.last)
            ]
            return Found(hits.lines, gaps, hits.first, hits.last)

        return await self.call(search)

    async def tail(self, preview_id: str, n: int) -> list[LogLine]:
        """Return the last ``n`` lines, oldest first. Cancellation: nothing changes."""
        return await self.call(partial(self.archive.tail, preview_id, n))

    async def bounds(self, preview_id: str) -> tuple[int, int]:
        """Return the first and last number. Cancellation: nothing changes."""
        index = await self.call(partial(self.archive.index, preview_id))
        return index.first, index.last

    async def call(self, work: Callable[[], T]) -> T:
        """Run work on the archive in a thread. Cancellation: after the thread's end, some 0.3 s at most."""
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


async def find_archive(settings: Settings, database: Database) -> ArchivedLogs | None:
    """Return the archive of the settings; None without one.

    Raises:
        ConfigurationError: The place is wrong, or cannot be used.

    Cancellation: nothing changes.
    """
    await trio.lowlevel.checkpoint()
    if settings.archive is None:
        return None
    place = await trio.to_thread.run_sync(place_at, settings.archive)
    return ArchivedLogs(database, Archive(place))


@asynccontextmanager
async def archiving(archived: ArchivedLogs | None, settings: Settings, writer: LogWriter) -> AsyncIterator[None]:
    """Archive the logs of ended previews meanwhile.

    Cancellation: a log that is being archived stays in the database.
    """
    async with trio.open_nursery() as nursery:
        if archived is not None:
            nursery.start_soon(run_archiver, archived, settings, writer)
        yield
        nursery.cancel_scope.cancel()


async def run_archiver(archived: ArchivedLogs, settings: Settings, writer: LogWriter) -> None:
    """Archive the logs of previews that have ended, until cancelled. One task.

    Cancellation: the log that is being archived stays in the database; the next start archives it.
    """
    swept = float("-inf")
    while True:
        try:
            await archive_round(archived, settings, writer)
            if trio.current_time() - swept >= _SWEEP_S:
                swept = trio.current_time()
                await sweep(archived)
        except (DatabaseUnavailable, SQLAlchemyError) as error:
            archived.failures += 1
            log.warning("logs not archived", reason=getattr(error, "message", type(error).__name__))
        await trio.sleep(_EACH_S)


async def archive_round(archived: ArchivedLogs, settings: Settings, writer: LogWriter) -> int:
    """Archive the logs of some previews that have ended; return their number.

    Only previews whose folder was in this service's data folder: another service may share the database.

    Cancellation: see ``run_archiver``.
    """
    database = archived.database
    cleared = select(_A.preview_id).where(_A.is_cleared == 0).limit(_ROUND)
    for preview_id in await database.read(lambda connection: list(connection.scalars(cleared))):
        await _clear(archived, preview_id)
    ended = (
        select(_P.id, _P.directory)
        .outerjoin(archived_logs, _A.preview_id == _P.id)
        .where(
            _A.preview_id.is_(None),
            _P.status.not_in([state.value for state in ACTIVE]),
            func.coalesce(_P.stopped_at, _P.created_at) <= now_ms() - int(settings.archive_after_s * 1000),
        )
        .order_by(_P.created_at)
        .limit(_ROUND)
    )
    count = 0
    for row in await database.read(lambda connection: connection.execute(ended).all()):
        if row.directory is None or settings.data_dir in Path(row.directory).parents:
            await archive_one(archived, row.id, writer)
            count += 1
    return count


async def archive_one(archived: ArchivedLogs, preview_id: str, writer: LogWriter | None = None) -> Index:
    """Archive one log; return its index. Cancellation: see ``run_archiver``."""
    if writer is not None:
        await writer.flush(preview_id)
    index, size = await archived.call(partial(_write, archived, preview_id))
    row = {
        "preview_id": preview_id,
        "lines": index.lines,
        "size_bytes": size,
        "archived_at": now_ms(),
        "is_cleared": 0,
    }
    await archived.database.write(partial(_note, row=row))
    archived.learn(preview_id)
    await _clear(archived, preview_id)
    archived.logs += 1
    archived.lines += index.lines
    log.info("log archived", preview_id=preview_id, lines=index.lines, bytes=size)
    return index


def _write(archived: ArchivedLogs, preview_id: str) -> tuple[Index, int]:
    packer = Packer()
    made: list[Index] = []

    def parts() -> Iterator[bytes]:
        for rows in _read(archived.database, preview_id):
            yield from packer.add(rows)
        rest, index = packer.finish()
        made.append(index)
        yield rest

    size = archived.archive.place.write(name_of(preview_id), parts())
    return made[0], size


def _read(database: Database, preview_id: str) -> Iterator[list[StoredLine]]:
    after = 0
    while True:
        wanted = select(*_COLUMNS).where(_C.preview_id == preview_id, _C.seq > after).order_by(_C.seq)
        # Its own short transaction for each part: a long one would keep SQLite's log from being cut.
        with database.engine.connect() as connection:
            with connection.execute(wanted.limit(_READ_LINES)) as result:
                # The driver's own tuples: these columns need no conversion, and rows of SQLAlchemy cost as much again.
                rows: list[StoredLine] = list(result.cursor.fetchall())
        if not rows:
            return
        after = rows[-1][0]
        yield rows


def _note(connection: Connection, *, row: dict[str, object]) -> None:
    connection.execute(delete(archived_logs).where(_A.preview_id == row["preview_id"]))
    is_there = connection.scalar(select(_P.id).where(_P.id == row["preview_id"]))
    if is_there is not None:
        connection.execute(insert(archived_logs).values(row))


async def _clear(archived: ArchivedLogs, preview_id: str) -> None:
    while not await archived.database.write(partial(_delete_part, preview_id=preview_id)):
        pass


def _delete_part(connection: Connection, *, preview_id: str) -> bool:
    first = connection.scalar(select(func.min(_C.seq)).where(_C.preview_id == preview_id))
    if first is not None:
        some = (_C.preview_id == preview_id) & (_C.seq < first + _DELETE_LINES)
        connection.execute(delete(preview_logs).where(some))
        return False
    connection.execute(update(archived_logs).where(_A.preview_id == preview_id).values(is_cleared=1))
    return True


def _kept(connection: Connection, *, ids: list[str]) -> set[str]:
    return set(connection.scalars(select(_P.id).where(_P.id.in_(ids))))


async def sweep(archived: ArchivedLogs) -> int:
    """Remove files of previews that are deleted; return their number.

    Cancellation: the rest is removed later.
    """
    removed = 0
    for names in await archived.call(lambda: list(archived.archive.place.names())):
        for start in range(0, len(names), _ROUND):
            ids = [name.partition(".")[0] for name in names[start : start + _ROUND]]
            kept = await archived.database.read(partial(_kept, ids=ids))
            for preview_id in ids:
                if preview_id not in kept:
                    await archived.call(partial(archived.archive.place.remove, name_of(preview_id)))
                    removed += 1
    if removed:
        log.info("archived logs removed", previews=removed)
    return removed
