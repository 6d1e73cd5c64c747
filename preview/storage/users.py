"""The users this service knows: made on demand, so that a host need not register anybody."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from preview.core.clock import now_ms
from preview.storage.database import Database
from preview.storage.tables import users


class UserStore:
    """The rows of ``users``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tier(self, user_id: str) -> str | None:
        """The user's tier, or None for a user without a row.

        Cancellation: nothing changes.
        """
        query = select(users.c.tier).where(users.c.id == user_id)
        found: str | None = await self._database.read(lambda connection: connection.scalar(query))
        return found

    async def ensure(self, user_id: str, tier: str | None = None) -> None:
        """Make the user's row, unless it is there; a ``tier`` that is given is kept in both cases.

        Cancellation: all of it is done, or nothing.
        """

        def change(connection: Connection) -> None:
            ensure_row(connection, users, {"id": user_id, "created_at": now_ms()})
            if tier is not None:
                connection.execute(update(users).where(users.c.id == user_id).values(tier=tier))

        await self._database.write(change)


def ensure_row(connection: Connection, table: Any, values: dict[str, Any]) -> None:
    """Insert the row, or leave the one that has its key as it is; no race with another that does the same."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).values(values).on_conflict_do_nothing())
