"""The entries of the audit trail that a collector does not have yet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, delete, insert, select

from preview.auth import Audit, AuditEntry
from preview.storage.database import Database
from preview.storage.tables import service_facts

_FACT = "audit exported"
_PAGE = 200


class AuditFollower:
    """Follows the trail from the last exported entry on, which the database keeps; at first from the newest one on.

    Services on one database may export the same entries.

    Args:
        trail: The trail.
        database: Keeps the position.
    """

    def __init__(self, trail: Audit, database: Database) -> None:
        self._trail = trail
        self._database = database
        self._after: int | None = None

    async def next(self) -> tuple[Sequence[AuditEntry], int]:
        """Return the next entries, oldest first, and the number of entries before them that were removed unexported.

        Raises:
            DatabaseUnavailable: The database does not answer.

        Cancellation: nothing changes.
        """
        if self._after is None:
            found = await self._database.read(_position)
            if found is None:
                # The history before the first export is not exported; this position is kept before anything is sent.
                await self.done(await self._trail.newest())
            else:
                self._after = found
        after = self._after or 0
        entries = await self._trail.after(after, _PAGE)
        return entries, max(0, entries[0].seq - after - 1) if entries else 0

    async def done(self, seq: int) -> None:
        """Note that the entries up to this number are exported. Raises and cancellation: as for ``next``."""
        await self._database.write(partial(_note, seq=seq))
        self._after = seq


def _position(connection: Connection) -> int | None:
    found = connection.scalar(select(service_facts.c.value).where(service_facts.c.name == _FACT))
    return None if found is None else int(found)


def _note(connection: Connection, seq: int) -> None:
    connection.execute(delete(service_facts).where(service_facts.c.name == _FACT))
    connection.execute(insert(service_facts).values(name=_FACT, value=str(seq)))
