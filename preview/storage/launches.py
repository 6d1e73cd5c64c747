"""Launches of a generation: its stored previews, with the numbers of their requests and failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, func, select

from preview.storage.database import Database
from preview.storage.previews import to_record
from preview.storage.tables import (
    PreviewRecord,
    preview_failure_totals,
    preview_failures,
    preview_instances,
    preview_traffic,
)
from preview.storage.users import read_page

_C = preview_instances.c


@dataclass(frozen=True, slots=True)
class Launch:
    """A stored preview.

    Attributes:
        record: Its row.
        requests: Number of its requests, as of the last write.
        failures: Number of its different failures, as of the last write.
    """

    record: PreviewRecord
    requests: int
    failures: int


class LaunchStore:
    """Reads launches. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, user_id: str, generation_id: str, *, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[Launch], str | None]:
        """Return a page of the generation's launches, newest first, and the next page's cursor (None: the last page).

        Args:
            user_id: The owner; others' launches are left out.
            generation_id: The generation's id.
            cursor: The cursor returned with the previous page.
            limit: Rows per page, clamped to 1 to ``users.MAX_PAGE``.

        Raises:
            InvalidRequest: The cursor is invalid.

        Cancellation: nothing changes.
        """
        query = select(preview_instances).where(_C.generation_id == generation_id, _C.user_id == user_id)
        rows, following = await read_page(self._database, query, preview_instances, cursor, limit)
        return await self.counted([to_record(row) for row in rows]), following

    async def counted(self, records: Sequence[PreviewRecord]) -> list[Launch]:
        """Return the records as launches. Cancellation: nothing changes."""
        ids = [one.id for one in records]
        sent, failed = await self._database.read(partial(_counts, ids))
        return [Launch(one, sent.get(one.id, 0), failed.get(one.id, 0)) for one in records]


def _counts(ids: Sequence[str], connection: Connection) -> tuple[Mapping[str, int], Mapping[str, int]]:
    traffic, failures, totals = preview_traffic.c, preview_failures.c, preview_failure_totals.c
    query = select(traffic.preview_id, traffic.last_number).where(traffic.preview_id.in_(ids))
    requests = {row.preview_id: row.last_number for row in connection.execute(query)}
    grouped = select(failures.preview_id, func.count().label("number")).where(failures.preview_id.in_(ids))
    found = {row.preview_id: row.number for row in connection.execute(grouped.group_by(failures.preview_id))}
    further = select(totals.preview_id, totals.further).where(totals.preview_id.in_(ids))
    for row in connection.execute(further):
        found[row.preview_id] = found.get(row.preview_id, 0) + row.further
    return requests, found
