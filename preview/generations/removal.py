"""Removal of a generation: it is put aside for a while, in which it can be restored, and is then deleted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, select, update

from preview.core.clock import from_ms, now_ms
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import GenerationLimitReached, GenerationNotFound
from preview.storage.database import Database
from preview.storage.people_tables import removed_generations
from preview.storage.previews import disown_previews
from preview.storage.tables import generations, users
from preview.storage.users import ensure_row

MOST_REMOVED = 20
"""Most removed generations of one user; the oldest are deleted first."""
_G, _R = generations.c, removed_generations.c


def is_kept() -> ColumnElement[bool]:
    """Return the condition that a row of ``generations`` is not removed."""
    return ~exists().where(_R.generation_id == _G.id)


@dataclass(frozen=True, slots=True)
class RemovedGeneration:
    """A generation that can be restored."""

    id: str
    project_id: str
    user_id: str
    name: str
    size_bytes: int
    removed_at: datetime


class RemovedGenerations:
    """The generations that are put aside. All methods raise ``DatabaseUnavailable`` on an outage.

    Args:
        database: The service's database.
        per_user: Most generations of a user that are not removed.
    """

    def __init__(self, database: Database, per_user: int) -> None:
        self._database = database
        self._per_user = per_user

    async def put_aside(self, generation_id: str, user_id: str) -> None:
        """Remove a generation so that it can be restored; a removed one stays as it is.

        The oldest of more than ``MOST_REMOVED`` are due from now on, see ``due``.

        Cancellation: it is removed, or nothing changes.
        """

        def change(connection: Connection) -> None:
            mine = select(_R.generation_id).join(generations, _G.id == _R.generation_id).where(_G.user_id == user_id)
            known = list(connection.scalars(mine.order_by(_R.removed_at.desc(), _R.generation_id)))
            if generation_id in known or not connection.scalar(select(_G.id).where(_G.id == generation_id)):
                return
            values = {"generation_id": generation_id, "removed_at": now_ms()}
            # Of two removals at the same moment, PostgreSQL refuses the second row.
            ensure_row(connection, removed_generations, values)
            if old := known[MOST_REMOVED - 1 :]:
                connection.execute(update(removed_generations).where(_R.generation_id.in_(old)).values(removed_at=0))

        await self._database.write(change)

    async def list_for_user(self, user_id: str, since_ms: int) -> list[RemovedGeneration]:
        """Return a user's removed generations that were removed later than this, the last first.

        Cancellation: nothing changes.
        """
        query = _rows().where(_G.user_id == user_id, _R.removed_at > since_ms).order_by(_R.removed_at.desc(), _G.id)
        return await self._read(query)

    async def due(self, until_ms: int, limit: int = 20) -> list[RemovedGeneration]:
        """Return generations of all users that were removed at this time or earlier, the first first.

        Cancellation: nothing changes.
        """
        return await self._read(_rows().where(_R.removed_at <= until_ms).order_by(_R.removed_at).limit(limit))

    async def restore(self, generation_id: str, user_id: str, since_ms: int) -> None:
        """Restore a user's generation that was removed later than this.

        Raises:
            GenerationNotFound: The user has no such removed generation (any more).
            GenerationLimitReached: The user has the maximum number of generations.

        Cancellation: it is restored, or nothing changes.
        """

        def change(connection: Connection) -> None:
            mine = _rows().where(_G.id == generation_id, _G.user_id == user_id, _R.removed_at > since_ms)
            if not is_valid_id(generation_id) or connection.execute(mine).first() is None:
                raise GenerationNotFound(f"There is no removed generation {quoted(generation_id)} (any more).")
            # As an insert does.
            connection.execute(select(users.c.id).where(users.c.id == user_id).with_for_update())
            kept = select(func.count()).select_from(generations).where(_G.user_id == user_id, is_kept())
            if (connection.scalar(kept) or 0) >= self._per_user:
                raise GenerationLimitReached(
                    f"You may keep {self._per_user} generations; delete one to restore another.", limit=self._per_user
                )
            connection.execute(delete(removed_generations).where(_R.generation_id == generation_id))

        await self._database.write(change)

    async def _read(self, query: Any) -> list[RemovedGeneration]:
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_removed(row) for row in rows]


def delete_generation(generation_id: str, connection: Connection) -> str | None:
    """Delete a generation with its files, in one transaction; return its owner, or None if there was none."""
    owner: str | None = connection.scalar(select(_G.user_id).where(_G.id == generation_id))
    gone = connection.execute(delete(generations).where(_G.id == generation_id)).rowcount
    if gone and owner is not None:
        disown_previews(connection, generation_id=generation_id, user_id=owner)
    return owner if gone else None


def _rows() -> Any:
    return select(_G.id, _G.project_id, _G.user_id, _G.name, _G.size_bytes, _R.removed_at).join(
        removed_generations, _R.generation_id == _G.id
    )


def _removed(row: Row[Any]) -> RemovedGeneration:
    return RemovedGeneration(row.id, row.project_id, row.user_id, row.name, row.size_bytes, from_ms(row.removed_at))
