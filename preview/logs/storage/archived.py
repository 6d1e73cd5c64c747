"""The archive, and the table that says which logs are in it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
import trio
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from preview.core.bounded_dict import BoundedDict
from preview.core.clock import now_ms
from preview.errors import DatabaseUnavailable
from preview.logs.archive.archive import Archive, missing
from preview.logs.archive.owner import claim, is_own, owner_of
from preview.logs.archive.place import place_at
from preview.logs.archive.readers import ArchiveReaders
from preview.logs.model.events import Gap, LogLine
from preview.logs.model.filtering import LineFilter
from preview.logs.storage.searching import Found, Page
from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import archived_logs, preview_instances

log = structlog.get_logger(__name__)

T = TypeVar("T")

_A, _P = archived_logs.c, preview_instances.c
# Ids of one query.
_IDS = 100
# Previews whose place is known. Others are looked up, in a fraction of a millisecond.
_MOST_KNOWN = 10_000
# Another service on the same database may archive a log: so long it may read as removed.
_ABSENT_MS = 30_000
# They are parameters of one query.
_MOST_FAILED = 500
# A start waits so long for a silent archive; then it is asked again before each round.
_CLAIM_S = 5.0
# One log is written at a time; removals do not wait for it.
_WORKERS = 2


class ArchivedLogs:
    """The archive, and the table that says which logs are in it.

    Attributes:
        logs: Logs that were archived since the start.
        lines: Their lines.
        failures: Rounds and logs that failed since the start.
        failed: Times at which logs failed, by preview.
        holder: Name of this service in the archiver's lease.
        has_lease: True while this service may have that lease.
    """

    def __init__(self, database: Database, archive: Archive) -> None:
        self.database = database
        self.archive = archive
        self._workers = trio.CapacityLimiter(_WORKERS)
        self._readers = ArchiveReaders()
        self._owner: str | None = None
        # The time at which a log was not in the archive, or 0; and the user whose log it is.
        self._known: BoundedDict[str, tuple[int, str]] = BoundedDict(_MOST_KNOWN)
        self.failed: BoundedDict[str, float] = BoundedDict(_MOST_FAILED)
        self.logs = self.lines = self.failures = 0
        self.holder = secrets.token_hex(8)
        self.has_lease = False

    async def has(self, preview_id: str) -> bool:
        """Return whether a log is in the archive. Cancellation: nothing changes."""
        since = self._known.use(preview_id)
        if since is not None and (since[0] == 0 or now_ms() - since[0] < _ABSENT_MS):
            return since[0] == 0
        query = select(_P.user_id).join(archived_logs, _A.preview_id == _P.id).where(_A.preview_id == preview_id)
        user_id = await self.database.read(lambda connection: connection.scalar(query))
        self._known[preview_id] = (now_ms(), "") if user_id is None else (0, user_id)
        return user_id is not None

    def learn(self, preview_id: str) -> None:
        """Note that a log's file was written: it is looked up again."""
        self.archive.forget(preview_id)
        self._known.pop(preview_id, None)

    async def claim(self) -> None:
        """Mark the archive as this service's, if it has no mark.

        Raises:
            ConfigurationError: It is another service's.
            DatabaseUnavailable: It does not answer.

        Cancellation: returns at once; the mark may be made later.
        """
        try:
            owner = await self.database.write(owner_of)
        except IntegrityError:
            # Another service on this database has made it at the same moment.
            owner = await self.database.write(owner_of)
        work = partial(claim, self.archive.place, owner, self._has_unknown)
        await trio.to_thread.run_sync(work, limiter=self._workers, abandon_on_cancel=True)
        self._owner = owner

    @property
    def is_claimed(self) -> bool:
        """True once ``claim`` has succeeded."""
        return self._owner is not None

    async def is_own(self) -> bool:
        """Return whether the archive still has this service's mark. Cancellation: nothing changes."""
        owner = self._owner
        return owner is not None and await self.call(partial(is_own, self.archive.place, owner))

    def _has_unknown(self, names: list[str]) -> bool:
        for start in range(0, len(names), _IDS):
            ids = [name.partition(".")[0] for name in names[start : start + _IDS]]
            with self.database.engine.connect() as connection:
                if len(known_previews(connection, ids=ids)) < len(ids):
                    return True
        return False

    async def read_page(self, preview_id: str, *, after: int, limit: int, below: int | None) -> Page:
        """Return lines, see ``LogStore.read_page``. Cancellation: nothing changes."""

        def page() -> Page:
            batches, is_full = self.archive.page(preview_id, after=after, limit=limit, below=below)
            return Page(batches, self.archive.index(preview_id).first, is_full)

        return await self._read(preview_id, page)

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

        return await self._read(preview_id, search)

    async def tail(self, preview_id: str, n: int) -> list[LogLine]:
        """Return the last ``n`` lines, oldest first. Cancellation: nothing changes."""
        return await self._read(preview_id, partial(self.archive.tail, preview_id, n))

    async def bounds(self, preview_id: str) -> tuple[int, int]:
        """Return the first and last number. Cancellation: nothing changes."""
        index = await self._read(preview_id, partial(self.archive.index, preview_id))
        return index.first, index.last

    async def _read(self, preview_id: str, work: Callable[[], T]) -> T:
        """Run a read in one of the user's threads. Raises and cancellation: see ``ArchiveReaders.run``."""
        known = self._known.get(preview_id)
        return await self._readers.run("" if known is None else known[1], work)

    async def call(self, work: Callable[[], T]) -> T:
        """Run work on the archive in a thread. Cancellation: after the thread's end."""
        return await trio.to_thread.run_sync(work, limiter=self._workers)


def known_previews(connection: Connection, *, ids: list[str]) -> set[str]:
    """Return those of these ids that are previews in the database."""
    return set(connection.scalars(select(_P.id).where(_P.id.in_(ids))))


async def find_archive(settings: Settings, database: Database) -> ArchivedLogs | None:
    """Return the archive of the settings; None without one.

    Raises:
        ConfigurationError: The place is wrong, cannot be used, or is another service's.

    Cancellation: nothing changes.
    """
    await trio.lowlevel.checkpoint()
    if settings.archive is None:
        return None
    place = await trio.to_thread.run_sync(place_at, settings.archive)
    archived = ArchivedLogs(database, Archive(place))
    reason = "it does not answer"
    with trio.move_on_after(_CLAIM_S):
        try:
            await archived.claim()
        except DatabaseUnavailable as error:
            # Live previews need no archive.
            reason = error.message
    if not archived.is_claimed:
        log.warning("archive not marked yet", reason=reason)
    return archived
