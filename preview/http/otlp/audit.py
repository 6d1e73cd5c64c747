"""The entries of the audit trail that a collector does not have yet.

Services on one database share the work by a lease in it. One of them exports; the others wait until its lease ends.
A page is noted as exported only while the lease is held, so an entry arrives twice only after a kill, or after a pause
longer than the lease, between the sending of a page and its note.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from preview.auth import Audit, AuditEntry
from preview.core.clock import now_ms
from preview.storage.database import Database
from preview.storage.tables import service_facts

LEASE_MS: Final = 60_000
"""A lease without a sign of its holder ends after this time. Each page extends it."""

_FACT, _LEASE = "audit exported", "audit exporter"
_PAGE = 200
_F = service_facts.c


class AuditFollower:
    """Follows the trail from the last exported entry on, which the database keeps; at first from the newest one on.

    Args:
        trail: The trail.
        database: Keeps the position and the lease.
    """

    def __init__(self, trail: Audit, database: Database) -> None:
        self._trail = trail
        self._database = database
        self._holder = secrets.token_hex(8)

    async def next(self) -> tuple[Sequence[AuditEntry], int]:
        """Return the next entries, oldest first, and the number of entries before them that were removed unexported.

        There are none while another service exports them.

        Raises:
            DatabaseUnavailable: The database does not answer.

        Cancellation: nothing changes, or the lease is taken.
        """
        newest = await self._trail.newest()
        try:
            after = await self._database.write(partial(_begin, holder=self._holder, newest=newest))
        except IntegrityError:
            # Another service has made the first lease at the same moment.
            after = None
        if after is None:
            return (), 0
        entries = await self._trail.after(after, _PAGE)
        return entries, max(0, entries[0].seq - after - 1) if entries else 0

    async def done(self, seq: int) -> bool:
        """Note that the entries up to this number are exported. Raises and cancellation: as for ``next``.

        Returns:
            False if another service has taken over meanwhile: it exports them again.
        """
        return await self._database.write(partial(_note, holder=self._holder, seq=seq))

    async def release(self) -> None:
        """End the lease, so that another service takes over at once. Raises and cancellation: as for ``next``."""
        await self._database.write(partial(_release, holder=self._holder))


def _begin(connection: Connection, *, holder: str, newest: int) -> int | None:
    """Take or extend the lease; return the number of the last exported entry. None: another service has the lease."""
    if not _hold(connection, holder, may_take=True):
        return None
    found = connection.scalar(select(_F.value).where(_F.name == _FACT))
    if found is None:
        # The history before the first export is not exported; this position is kept before anything is sent.
        connection.execute(insert(service_facts).values(name=_FACT, value=str(newest)))
        return newest
    return int(found)


def _note(connection: Connection, *, holder: str, seq: int) -> bool:
    if not _hold(connection, holder, may_take=False):
        return False
    connection.execute(update(service_facts).where(_F.name == _FACT).values(value=str(seq)))
    return True


def _release(connection: Connection, *, holder: str) -> None:
    connection.execute(delete(service_facts).where(_F.name == _LEASE, _F.value.startswith(f"{holder} ")))


def _hold(connection: Connection, holder: str, *, may_take: bool) -> bool:
    """Extend the lease, or take one that has ended; return whether it is held.

    The row is compared and set in one statement. So of two services at the same moment only one gets it.
    """
    now = _database_ms(connection)
    found = connection.scalar(select(_F.value).where(_F.name == _LEASE))
    mine = f"{holder} {now + LEASE_MS}"
    if found is None:
        if may_take:
            connection.execute(insert(service_facts).values(name=_LEASE, value=mine))
        return may_take
    whose, _, until = found.partition(" ")
    # A time far ahead is of a clock that was wrong.
    has_ended = not until.isdecimal() or not now < int(until) <= now + LEASE_MS
    if whose != holder and not (may_take and has_ended):
        return False
    changed = connection.execute(update(service_facts).where(_F.name == _LEASE, _F.value == found).values(value=mine))
    return changed.rowcount == 1


def _database_ms(connection: Connection) -> int:
    """Return the database's time: services on other machines may have other clocks."""
    if connection.dialect.name != "postgresql":
        return now_ms()
    return int(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp()) * 1000")) or 0)
