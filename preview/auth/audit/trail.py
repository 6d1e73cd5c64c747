"""The audit trail of a service: entries are written down at once, and stored in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import structlog
import trio
from sqlalchemy import Connection, or_, select
from sqlalchemy.exc import SQLAlchemyError

from preview.auth.audit import rows
from preview.auth.audit.chain import ChainCheck, Fault
from preview.auth.audit.entry import SERVICE, AuditEntry, Head
from preview.auth.audit.notebook import Notebook
from preview.core.bounded_dict import BoundedDict
from preview.core.clock import now_ms
from preview.errors import DatabaseUnavailable
from preview.storage.database import Database
from preview.storage.people_tables import audit_trail
from preview.storage.users import read_page

log = structlog.get_logger(__name__)

MOST_OF_USER = 5_000
"""Most entries of one user a day, and of all links of an owner: a busy one does not push out those of others."""
MOST_REFUSED = 1_000
"""Most refused requests of one user a day: they use up no room of what was done."""
MOST_OF_LINK = 1_000
"""Most entries of one link a day: its guests choose their names."""
# Entries that wait for the database.
_MOST_WAITING = 2_000
_BATCH = 200
_DAY_MS = 24 * 3600 * 1000
# Users and repeated actions that are remembered.
_MOST_COUNTED = 5_000
_REPEAT_MS = 10 * 60 * 1000
_RETRY_S = 2.0
_CLEAN_S = 600.0
_LAST_S = 2.0
_VERIFY_ROWS = 2_000
# Beginnings of ``via`` of those whom only a link has let in: guests and visitors.
_BY_LINK = ("share ", "link")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check of the whole trail.

    Attributes:
        count: Entries that are right, from the oldest on.
        first: Number of the oldest entry; 0 if there is none.
        head: The last right entry.
        noted: The head that the service had written down before; None if there was none.
        fault: The first thing that is wrong; None if nothing is.
    """

    count: int
    first: int
    head: Head
    noted: Head | None
    fault: Fault | None


class Audit:
    """The rows of ``audit_trail``. Methods that wait raise ``DatabaseUnavailable`` on an outage.

    Args:
        database: Stores the entries.
        folder: For entries that are not stored yet, and for the head; None keeps both in memory.
        retention: Bounds of the trail.

    Attributes:
        lost: Entries that could not be kept since the start.
    """

    def __init__(
        self, database: Database, folder: Path | None = None, retention: rows.Retention = rows.DEFAULT_RETENTION
    ) -> None:
        self._database = database
        self._notebook = Notebook(folder)
        self._retention = retention
        self._waiting: dict[str, AuditEntry] = {}
        self._turn = trio.Lock()
        self._checking = trio.Lock()
        self._wake = trio.Event()
        self._head: Head | None = None
        # By what ``_bounds`` names: the day, and the number of entries on it.
        self._counts: BoundedDict[str, tuple[int, int]] = BoundedDict(_MOST_COUNTED)
        self._seen: BoundedDict[str, int] = BoundedDict(_MOST_COUNTED)
        self.lost = 0

    @property
    def waiting(self) -> int:
        """Number of entries that wait for the database."""
        return len(self._waiting)

    def begin(self, entry: AuditEntry) -> None:
        """Write an entry down before its change is made. ``finish`` follows; else its outcome is ``unknown``."""
        self._notebook.write(replace(entry, outcome="unknown"))

    def drop(self, entry: AuditEntry) -> None:
        """Forget an entry that was written down: nothing happened."""
        self._notebook.cross_out([entry.id])

    async def finish(self, entry: AuditEntry) -> None:
        """Store an entry with its outcome.

        Raises:
            DatabaseUnavailable: It is stored later: by ``run``, or after the next start.

        Cancellation: as for ``DatabaseUnavailable``.
        """
        if self._put(entry):
            await self._store(entry.id)

    async def note(self, user_id: str, action: str, subject: str, detail: str, **more: str) -> None:
        """Store an entry. ``more``: further texts of ``AuditEntry``. Raises and cancellation: see ``finish``."""
        await self.finish(AuditEntry.new(user_id, action, subject=subject, detail=detail, **more))

    def note_soon(self, entry: AuditEntry) -> None:
        """Store an entry a little later, by ``run``; never waits. The same within ten minutes is stored once."""
        key = "\n".join((entry.user_id, entry.owner_id, entry.action, entry.subject, entry.preview_id, entry.via))
        # All visitors of a link have one name.
        key += f"\n{entry.address}" if entry.via.startswith(_BY_LINK) else ""
        last = self._seen.use(key)
        if last is None or entry.at_ms - last >= _REPEAT_MS:
            self._seen[key] = entry.at_ms
            self._put(entry)

    def _put(self, entry: AuditEntry) -> bool:
        """Queue an entry; return False if it is left out."""
        left = self._room_left(entry)
        if left < 0 or len(self._waiting) >= _MOST_WAITING:
            if left >= 0:
                self.lost += 1
                log.error("audit entry lost", action=entry.action, user_id=entry.user_id, lost=self.lost)
            self.drop(entry)
            return False
        if left == 0:
            log.warning("audit entries left out", user_id=entry.user_id, outcome=entry.outcome, via=entry.via)
            entry = replace(entry, detail=f"{entry.detail[:400]} ({_further(entry)} of this day are left out)")
        self._notebook.write(entry)
        self._waiting[entry.id] = entry
        self._wake.set()
        return True

    def _room_left(self, entry: AuditEntry) -> int:
        """Count an entry; return how many more there may be on its day, below 0 if not even this one."""
        day, counts, left = entry.at_ms // _DAY_MS, {}, MOST_OF_USER
        for who, most in _bounds(entry):
            known = self._counts.use(who)
            counts[who] = known[1] + 1 if known is not None and known[0] == day else 1
            left = min(left, most - counts[who])
        if left >= 0:
            # What is left out is counted nowhere: a link that is full uses up nothing of the owner's other links.
            self._counts.update({who: (day, count) for who, count in counts.items()})
        return left

    async def _store(self, entry_id: str | None = None) -> None:
        """Store waiting entries: up to the one with this id, or all."""
        while self._waiting if entry_id is None else entry_id in self._waiting:
            async with self._turn:
                batch = list(self._waiting.values())[:_BATCH]
                if not batch:
                    return
                if self._head is None:
                    self._head = self._notebook.read_head()
                change = partial(rows.append, entries=batch, known=self._head)
                try:
                    head = await self._database.write(change)
                except SQLAlchemyError as error:
                    # Never the service's end, nor a request's: the entries wait.
                    raise DatabaseUnavailable(
                        "The audit trail cannot be written at the moment.", reason=type(error).__name__
                    ) from error
                # No checkpoint from here on: the rows are committed.
                self._head = head
                self._notebook.write_head(head)
                self._notebook.cross_out([entry.id for entry in batch])
                for entry in batch:
                    self._waiting.pop(entry.id, None)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Store what an earlier process has left, then waiting entries, and remove old ones. One task.

        Cancellation: waiting entries are stored, within ``_LAST_S`` seconds; others after the next start.
        """
        for entry in await trio.to_thread.run_sync(self._notebook.recover):
            self._waiting.setdefault(entry.id, entry)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._clean)
                await self._store_on()
        finally:
            with trio.move_on_after(_LAST_S, shield=True):
                try:
                    await self._store()
                except DatabaseUnavailable as error:
                    log.warning("audit entries wait for restart", reason=error.message)
            log.info("audit head", head=str(self._head))
            self._notebook.close()

    async def _store_on(self) -> None:
        while True:
            try:
                await self._store()
            except DatabaseUnavailable as error:
                log.warning("audit entries wait for the database", count=len(self._waiting), reason=error.message)
                await trio.sleep(_RETRY_S)
                continue
            self._wake = trio.Event()
            await self._wake.wait()

    async def _clean(self) -> None:
        while True:
            try:
                await self.remove_old()
            except (DatabaseUnavailable, SQLAlchemyError) as error:
                log.warning("audit entries not removed", reason=type(error).__name__)
            if self._head is not None:
                # Kept with the service's log, this head shows later if the trail was written again.
                log.info("audit head", head=str(self._head))
            await trio.sleep(_CLEAN_S)

    async def remove_old(self) -> int:
        """Remove entries that are too many or too old; return their number. Cancellation: some may remain."""
        removed = 0
        while True:
            async with self._checking, self._turn:
                known = self._head or self._notebook.read_head()
                number, head = await self._database.write(partial(self._remove, known=known))
                self._head = head if head.seq else None
                if head.seq:
                    self._notebook.write_head(head)
            removed += number
            if not number:
                return removed

    def _remove(self, connection: Connection, known: Head | None) -> tuple[int, Head]:
        # A trail that does not continue is reported before anything in it is removed.
        rows.append(connection, [], known)
        return rows.remove_old(connection, self._retention, now_ms()), rows.newest(connection)

    async def list(
        self,
        *,
        user_id: str | None,
        cursor: str | None,
        limit: int,
        actor_id: str | None = None,
        action: str | None = None,
    ) -> tuple[Sequence[AuditEntry], str | None]:
        """Return a page of entries, newest first, and the next page's cursor.

        Args:
            user_id: Entries about this user's own things, by whomever; None: all.
            actor_id: Only entries by, or about, this user; None: by anybody.
            action: Only entries of this action; None: of any.
            cursor: See ``read_page``.
            limit: Entries of the page.

        Raises:
            InvalidRequest: The cursor is invalid.

        Cancellation: nothing changes.
        """
        query, order = select(audit_trail), None
        if "\0" in f"{user_id}{actor_id}{action}":
            # No entry has such a text, and PostgreSQL refuses it.
            return [], None
        if user_id is not None:
            # Not by ``user_id``: any user may have the id "guest Gus".
            query = query.where(rows.COLUMNS.owner_id == user_id)
        if actor_id is not None:
            query = query.where(or_(rows.COLUMNS.user_id == actor_id, rows.COLUMNS.owner_id == actor_id))
        if action is not None:
            query = query.where(rows.COLUMNS.action == action)
        if user_id is None and actor_id is None:
            # Numbers follow the time of storing: a page by the time of the requests would have gaps in the chain.
            order = rows.COLUMNS.seq
        found, following = await read_page(self._database, query, audit_trail, cursor, limit, order=order)
        return [rows.entry_of(row) for row in found], following

    async def after(self, seq: int, limit: int) -> Sequence[AuditEntry]:
        """Return up to ``limit`` stored entries after number ``seq``, oldest first. Cancellation: nothing changes."""
        return await self._database.read(partial(rows.read_from, after=seq, limit=limit))

    async def newest(self) -> int:
        """Return the number of the newest stored entry; 0 without one. Cancellation: nothing changes."""
        return (await self._database.read(rows.newest)).seq

    async def verify(self) -> Verdict:
        """Check the whole trail: each entry's hash, the numbers, and the head that was written down.

        Cancellation: nothing changes.
        """
        async with self._checking:
            await self._store()
            noted = self._head or self._notebook.read_head()
            start = await self._database.read(rows.newest_checkpoint)
            check, after, first = ChainCheck(start, noted), 0, 0
            while check.fault is None:
                read = partial(rows.read_from, after=after, limit=_VERIFY_ROWS)
                found = await self._database.read(read)
                if not found:
                    break
                first = first or found[0].seq
                await trio.to_thread.run_sync(check.feed, found)
                after = found[-1].seq
            return Verdict(check.count, first, check.last, noted, check.finish())


def _bounds(entry: AuditEntry) -> Sequence[tuple[str, int]]:
    """Return what an entry counts for, with the most entries of it on one day."""
    if entry.via == SERVICE:
        return ()
    if entry.via.startswith(_BY_LINK):
        return (f"{entry.via}\n{entry.owner_id}", MOST_OF_LINK), (f"links\n{entry.owner_id}", MOST_OF_USER)
    if entry.outcome == "refused":
        return ((f"refused\n{entry.user_id}", MOST_REFUSED),)
    return ((f"user\n{entry.user_id}", MOST_OF_USER),)


def _further(entry: AuditEntry) -> str:
    return "further refused requests" if entry.outcome == "refused" else "further entries"
