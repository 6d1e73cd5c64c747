"""Users known to this service. Rows are created on demand, so a host need not register users."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, literal, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from preview.core.clock import now_ms
from preview.errors import InvalidRequest, UserNotFound
from preview.storage.database import Database
from preview.storage.tables import users


class UserStore:
    """The rows of ``users``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tier(self, user_id: str) -> str | None:
        """Return the user's tier, or None for a user without a row.

        Cancellation: nothing changes.
        """
        query = select(users.c.tier).where(users.c.id == user_id)
        found: str | None = await self._database.read(lambda connection: connection.scalar(query))
        return found

    async def change_tier(self, user_id: str, tier: str) -> str:
        """Give a user another tier, and return the one before.

        Raises:
            UserNotFound: There is no such user.

        Cancellation: completed, or nothing changes.
        """

        def change(connection: Connection) -> str | None:
            before: str | None = connection.scalar(select(users.c.tier).where(users.c.id == user_id))
            connection.execute(update(users).where(users.c.id == user_id).values(tier=tier))
            return before

        # PostgreSQL refuses the character, and nobody has such an id.
        before = None if "\0" in user_id else await self._database.write(change)
        if before is None:
            raise UserNotFound("This service has no such user; list the users first.")
        return before

    async def ensure(self, user_id: str, tier: str | None = None) -> None:
        """Create the user's row if missing. A ``tier`` is stored in both cases.

        Cancellation: completed, or nothing changes.
        """

        def change(connection: Connection) -> None:
            ensure_row(connection, users, {"id": user_id, "created_at": now_ms()})
            if tier is not None:
                connection.execute(update(users).where(users.c.id == user_id).values(tier=tier))

        await self._database.write(change)


def ensure_row(connection: Connection, table: Any, values: dict[str, Any]) -> None:
    """Insert the row unless its key exists; safe against concurrent inserts of the same row."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).values(values).on_conflict_do_nothing())


MAX_PAGE = 200
"""Maximum rows per page, so that one page can display a response."""

# 13 digits, a colon and an id of 128 characters, in base64, with a margin.
_MAX_CURSOR = 256
# Milliseconds and an id, without control characters, some of which PostgreSQL rejects.
_PLACE = re.compile(r"([0-9]{1,19}):([!-~]{1,128})")
_BIGINT = 2**63


def encode_cursor(created_at_ms: int, row_id: str) -> str:
    """Return the cursor that continues after this row."""
    return base64.urlsafe_b64encode(f"{created_at_ms}:{row_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[int, str]:
    """Return the cursor's row: its ``created_at`` in milliseconds, and its id.

    Raises:
        InvalidRequest: The cursor is invalid.
    """
    place = _PLACE.fullmatch(_decoded(cursor))
    if place is None or int(place[1]) >= _BIGINT:
        raise InvalidRequest("The cursor is not one that this service has given; ask again without it.", field="cursor")
    return int(place[1]), place[2]


def _decoded(cursor: str) -> str:
    """Return the decoded text; empty if invalid."""
    if len(cursor) > _MAX_CURSOR:
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:  # also raised for input that is not ASCII, base64 or UTF-8
        return ""


async def read_page(
    database: Database,
    query: Select[Any],
    table: Table,
    cursor: str | None,
    limit: int,
    order: Column[int] | None = None,
) -> tuple[Sequence[Row[Any]], str | None]:
    """Read a page of rows, newest first, and the next page's cursor (None: the last page).

    Args:
        database: The database to query.
        query: Selects from ``table``.
        table: The table; has columns ``created_at`` and ``id``.
        cursor: The cursor returned with the previous page; None for the first page.
        limit: Rows per page, clamped to 1 to ``MAX_PAGE``.
        order: Column of numbers that has the order; None: ``created_at``.

    Raises:
        InvalidRequest: The cursor is invalid.

    Cancellation: nothing changes.
    """
    by = table.c.created_at if order is None else order
    limit = max(1, min(limit, MAX_PAGE))
    if cursor is not None:
        last, row_id = decode_cursor(cursor)
        place: ColumnElement[Any] = tuple_(by, table.c.id)
        query = query.where(place < tuple_(literal(last), literal(row_id)))
    # One extra row shows if there is a next page.
    query = query.order_by(by.desc(), table.c.id.desc()).limit(limit + 1)
    rows = await database.read(lambda connection: connection.execute(query).all())
    following = encode_cursor(getattr(rows[limit - 1], by.name), rows[limit - 1].id) if len(rows) > limit else None
    return rows[:limit], following
