"""Requests that people save under a name, for all who may use a generation's preview."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from preview.core.clock import from_ms, now_ms
from preview.core.ids import is_valid_id, new_saved_request_id
from preview.people_errors import SavedRequestLimitReached, SavedRequestNotFound
from preview.storage import Database
from preview.storage.database import lock_count
from preview.storage.people_tables import saved_requests as table

MOST_SAVED = 100
"""Most saved requests of one generation."""
MOST_NAME_CHARACTERS = 80
MOST_REQUEST_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class SavedRequest:
    """A saved request.

    Attributes:
        id: ``saved_…``.
        name: Different from all others of the generation.
        request: A JSON object: method, path and whatever else the client keeps.
    """

    id: str
    name: str
    request: dict[str, Any]
    updated_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> SavedRequest:
        """Return the saved request of a row."""
        return cls(row.id, row.name, json.loads(row.request), from_ms(row.updated_at))


class SavedRequests:
    """The rows of ``saved_requests``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, generation_id: str) -> list[SavedRequest]:
        """Return all saved requests of a generation, by name. Cancellation: nothing changes."""
        query = select(table).where(table.c.generation_id == generation_id).order_by(table.c.name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [SavedRequest.of(row) for row in rows]

    async def save(self, generation_id: str, name: str, request: dict[str, Any]) -> SavedRequest:
        """Store a request; one of the same name is replaced.

        Raises:
            SavedRequestLimitReached: The generation has the maximum number of saved requests.

        Cancellation: stored, or nothing changes.
        """
        at = now_ms()
        values = {"request": json.dumps(request), "updated_at": at}
        same = (table.c.generation_id == generation_id, table.c.name == name)

        def change(connection: Connection) -> str:
            lock_count(connection, table.name, generation_id)
            known = connection.scalar(select(table.c.id).where(*same))
            if known is not None:
                connection.execute(update(table).where(*same).values(values))
                return str(known)
            of_generation = select(func.count()).select_from(table).where(table.c.generation_id == generation_id)
            if (connection.scalar(of_generation) or 0) >= MOST_SAVED:
                raise SavedRequestLimitReached(
                    f"The generation has {MOST_SAVED} saved requests, the maximum; delete some first.", limit=MOST_SAVED
                )
            made = new_saved_request_id()
            connection.execute(insert(table).values(generation_id=generation_id, id=made, name=name, **values))
            return made

        return SavedRequest(await self._database.write(change), name, request, from_ms(at))

    async def delete(self, generation_id: str, saved_id: str) -> None:
        """Delete a saved request.

        Raises:
            SavedRequestNotFound: The generation has no such request.

        Cancellation: deleted, or nothing changes.
        """
        found = 0
        if is_valid_id(saved_id):
            # PostgreSQL refuses some characters.
            change = delete(table).where(table.c.generation_id == generation_id, table.c.id == saved_id)
            found = await self._database.write(lambda connection: connection.execute(change).rowcount)
        if not found:
            raise SavedRequestNotFound("The generation has no such saved request; it may have been deleted.")
