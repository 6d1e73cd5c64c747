"""Moves the logs of ended previews from the database to the archive, and reads them there.

The order of the steps: the file is written, synchronised and renamed; its row is committed; the lines are deleted from
the database; the row says so. After a kill between any two of them, the next start does the rest: a file without a row
is written again, and lines that a row's file has are deleted again. Readers use the file from the row's commit on.

Before anything is written or removed, the archive has the mark of this service's database: see ``archive.owner``. Of
several services on it, one writes at a time: see ``archive.lease``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import chain

import structlog
import trio
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from preview.core.clock import now_ms
from preview.core.lifecycle import ACTIVE
from preview.errors import ConfigurationError, DatabaseUnavailable
from preview.logs.archive.form import Index, Packer
from preview.logs.archive.lease import end_lease, has_lease, take_lease
from preview.logs.archive.place import name_of
from preview.logs.model.batch import StoredLine
from preview.logs.storage.archived import ArchivedLogs, known_previews
from preview.logs.storage.writer import LogWriter
from preview.settings import Settings
from preview.storage.database import NO_FENCES, Database
from preview.storage.outages import translate
from preview.storage.tables import archived_logs, preview_instances, preview_logs

log = structlog.get_logger(__name__)

_A, _C, _P = archived_logs.c, preview_logs.c, preview_instances.c
_ENDED_AT = func.coalesce(_P.stopped_at, _P.created_at)
_COLUMNS = (_C.seq, _C.timestamp, _C.level, _C.source, _C.message, _C.request_id)
# Lines of one query, some 20 ms; and the text of one, which is in memory.
_READ_LINES = 8_192
_DELETE_LINES = 10_000
# Previews that one round looks at.
_ROUND = 100
_EACH_S = 15.0
# A log that could not be archived is tried again after this time.
_AGAIN_S = 600.0
# After so many, a round ends: each may have waited for a silent place.
_FAILURES_IN_ROW = 3
_SWEEP_S = 3600.0
_RELEASE_S = 2.0
# Another service may have lines of an ended preview that it has not stored yet: so long they are waited for.
_COMPLETE_MS = 24 * 3600 * 1000


class LeaseLost(Exception):
    """Another service archives."""


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
            if not archived.is_claimed:
                await archived.claim()
            await archive_round(archived, settings, writer)
            if trio.current_time() - swept >= _SWEEP_S:
                swept = trio.current_time()
                await sweep(archived)
        except (ConfigurationError, DatabaseUnavailable, SQLAlchemyError) as error:
            archived.failures += 1
            log.warning("logs not archived", reason=getattr(error, "message", type(error).__name__))
        except Exception:
            # An archive's failure is never the service's.
            archived.failures += 1
            log.exception("logs not archived")
        await trio.sleep(_EACH_S)


async def archive_round(archived: ArchivedLogs, settings: Settings, writer: LogWriter) -> int:
    """Archive the logs of some previews that have ended; return the number of those that were tried.

    None while another service archives. A log that fails is counted, and tried again later; the others go on.

    Cancellation: see ``run_archiver``.
    """
    try:
        return await _round(archived, settings, writer)
    except LeaseLost:
        return 0
    finally:
        with trio.move_on_after(_RELEASE_S, shield=True):
            await _release(archived)


async def _round(archived: ArchivedLogs, settings: Settings, writer: LogWriter) -> int:
    database = archived.database
    again = trio.current_time() - _AGAIN_S
    waiting = [preview_id for preview_id, at in archived.failed.items() if at > again]
    cleared = select(_A.preview_id).where(_A.is_cleared == 0, _A.preview_id.not_in(waiting)).limit(_ROUND)
    kept = await database.read(lambda connection: list(connection.scalars(cleared)))
    if kept:
        await hold(archived)
    if not await _try_each(archived, kept, partial(_clear, archived)):
        return 0
    ended = (
        select(_P.id)
        .outerjoin(archived_logs, _A.preview_id == _P.id)
        .where(
            _A.preview_id.is_(None),
            _P.id.not_in(waiting),
            _P.status.not_in([state.value for state in ACTIVE]),
            now_ms() - int(settings.archive_after_s * 1000) >= _ENDED_AT,
            or_(now_ms() - _COMPLETE_MS >= _ENDED_AT, _is_stored(database, settings)),
        )
        .order_by(_P.created_at)
        .limit(_ROUND)
    )
    found = await database.read(lambda connection: list(connection.scalars(ended)))
    if found:
        await _check_mark(archived)
    await _try_each(archived, found, partial(archive_one, archived, writer=writer))
    return len(found)


def _is_stored(database: Database, settings: Settings) -> ColumnElement[bool]:
    """Return the condition for logs of which no service has lines that are not stored yet.

    In a cluster, all nodes may have the same path of the data folder, on different machines. So it says whose a preview
    is only without one.
    """
    if database.fences is NO_FENCES:
        return _P.directory.is_(None) | _P.directory.startswith(f"{settings.data_dir}/", autoescape=True)
    newest = select(func.max(_C.seq)).where(_C.preview_id == _P.id).scalar_subquery()
    return _P.last_seq <= func.coalesce(newest, 0)


async def hold(archived: ArchivedLogs) -> None:
    """Take the archiver's lease, or extend it.

    Raises:
        LeaseLost: Another service has it.

    Cancellation: the lease may be taken.
    """
    # Before it is asked for: if the answer is lost, the lease may be held.
    archived.has_lease = True
    try:
        is_held = await archived.database.write(partial(take_lease, holder=archived.holder))
    except IntegrityError as error:
        raise LeaseLost from error
    if not is_held:
        raise LeaseLost


async def _release(archived: ArchivedLogs) -> None:
    """End the lease. Cancellation: it ends by itself, some minutes later."""
    if archived.has_lease:
        archived.has_lease = False
        with suppress(DatabaseUnavailable, SQLAlchemyError):
            await archived.database.write(partial(end_lease, holder=archived.holder))


async def _try_each(archived: ArchivedLogs, ids: list[str], work: Callable[[str], Awaitable[object]]) -> bool:
    """Do the work for each log; return whether to go on: not after some failures in a row, as of a full disk."""
    in_row = 0
    for preview_id in ids:
        try:
            await work(preview_id)
            in_row = 0
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001  one log's failure holds up no other log
            in_row += 1
            archived.failures += 1
            archived.failed[preview_id] = trio.current_time()
            reason = getattr(error, "message", type(error).__name__)
            log.warning("log not archived", preview_id=preview_id, reason=reason)
            if in_row == _FAILURES_IN_ROW:
                return False
    return True


async def _check_mark(archived: ArchivedLogs) -> None:
    if not await archived.is_own():
        raise DatabaseUnavailable("The archive has no mark of this service: is its disk mounted?", reason="archive")


async def archive_one(archived: ArchivedLogs, preview_id: str, writer: LogWriter | None = None) -> None:
    """Archive one log, unless another service has done it.

    Raises:
        LeaseLost: Another service archives.

    Cancellation: see ``run_archiver``.
    """
    if writer is not None:
        await writer.flush(preview_id)
    await hold(archived)
    # Only who has the lease makes rows: if there is none now, there is none until it is lost.
    row = select(_A.preview_id).where(_A.preview_id == preview_id)
    if await archived.database.read(lambda connection: connection.scalar(row)) is not None:
        return
    index, size = await archived.call(partial(_write, archived, preview_id))
    row_values = {
        "preview_id": preview_id,
        "lines": index.lines,
        "size_bytes": size,
        "archived_at": now_ms(),
        "is_cleared": 0,
    }
    await archived.database.write(partial(_note, row=row_values, holder=archived.holder))
    archived.learn(preview_id)
    await _clear(archived, preview_id)
    archived.logs += 1
    archived.lines += index.lines
    log.info("log archived", preview_id=preview_id, lines=index.lines, bytes=size)


def _write(archived: ArchivedLogs, preview_id: str) -> tuple[Index, int]:
    archive, name = archived.archive, name_of(preview_id)
    packer, lines = Packer(), _read(archived.database, preview_id)
    first = next(lines, None)
    if first is None and archive.place.peek(name, 1):
        # The lines are gone, the row is not there: the file is the only copy.
        archive.forget(preview_id)
        return archive.index(preview_id), archive.place.size(name)
    made: list[Index] = []

    def parts() -> Iterator[bytes]:
        for rows in chain([] if first is None else [first], lines):
            yield from packer.add(rows)
        rest, index = packer.finish()
        made.append(index)
        yield rest
        # The last step before the file is shown: after a long pause, another service may have archived the log. A
        # service of an earlier version takes no lease, but its row is there before it deletes a line.
        row = select(_A.preview_id).where(_A.preview_id == preview_id)
        with archived.database.engine.connect() as connection:
            if not has_lease(connection, archived.holder) or connection.scalar(row) is not None:
                raise LeaseLost

    size = archive.place.write(name, parts())
    return made[0], size


def _read(database: Database, preview_id: str) -> Iterator[list[StoredLine]]:
    after = 0
    while True:
        wanted = select(*_COLUMNS).where(_C.preview_id == preview_id, _C.seq > after).order_by(_C.seq)
        # Its own short transaction for each part: a long one would keep SQLite's log from being cut.
        with database.engine.connect() as connection, connection.execute(wanted.limit(_READ_LINES)) as result:
            # The driver's own tuples: these columns need no conversion, and rows of SQLAlchemy cost as much again.
            try:
                rows: list[StoredLine] = list(result.cursor.fetchall())
            except database.engine.dialect.loaded_dbapi.Error as error:
                # SQLAlchemy wraps errors of its own reads only.
                raise translate(DBAPIError(None, None, error)) from error
        if not rows:
            return
        after = rows[-1][0]
        yield rows


def _note(connection: Connection, *, row: dict[str, object], holder: str) -> None:
    if not take_lease(connection, holder):
        raise LeaseLost
    connection.execute(delete(archived_logs).where(_A.preview_id == row["preview_id"]))
    is_there = connection.scalar(select(_P.id).where(_P.id == row["preview_id"]))
    if is_there is not None:
        connection.execute(insert(archived_logs).values(row))


async def _clear(archived: ArchivedLogs, preview_id: str) -> None:
    """Delete the lines that the file has. Lines that were stored after it was written stay."""
    index = await archived.call(partial(archived.archive.index, preview_id))
    while not await archived.database.write(partial(_delete_part, preview_id=preview_id, last=index.last)):
        pass


def _delete_part(connection: Connection, *, preview_id: str, last: int) -> bool:
    archived_lines = (_C.preview_id == preview_id) & (_C.seq <= last)
    first = connection.scalar(select(func.min(_C.seq)).where(archived_lines))
    if first is not None:
        connection.execute(delete(preview_logs).where(archived_lines, _C.seq < first + _DELETE_LINES))
        return False
    connection.execute(update(archived_logs).where(_A.preview_id == preview_id).values(is_cleared=1))
    return True


async def sweep(archived: ArchivedLogs) -> int:
    """Remove files of previews that are deleted; return their number.

    Nothing is removed without this service's mark: a disk may not be mounted, or another one in its place.

    Raises:
        DatabaseUnavailable: The place does not answer, or has lost the mark.

    Cancellation: the rest is removed later.
    """
    await _check_mark(archived)
    removed = 0
    for names in await archived.call(lambda: list(archived.archive.place.names())):
        for start in range(0, len(names), _ROUND):
            ids = [name.partition(".")[0] for name in names[start : start + _ROUND]]
            kept = await archived.database.read(partial(known_previews, ids=ids))
            for preview_id in ids:
                if preview_id not in kept:
                    await archived.call(partial(archived.archive.place.remove, name_of(preview_id)))
                    removed += 1
    if removed:
        log.info("archived logs removed", previews=removed)
    return removed
