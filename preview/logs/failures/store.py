"""Failure records in the database: one row each, from the failure until the preview's row is deleted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy import Connection, delete, insert, select

from preview.logs.failures.encode import decode_record, encode_record
from preview.logs.failures.model import FailureRecord
from preview.storage.database import Database, Fences
from preview.storage.tables import preview_failure_totals, preview_failures, preview_instances

_F = preview_failures.c
_T = preview_failure_totals.c


class FailureStore:
    """The rows of ``preview_failures``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, preview_id: str, records: Sequence[FailureRecord], further: int, unread_lines: int) -> None:
        """Insert or overwrite records and totals of a preview; does nothing if its row is gone.

        Cancellation: all are stored, or none.
        """
        rows = [
            {"preview_id": preview_id, "id": one.id, "last_at": one.last.timestamp_ms, "data": encode_record(one)}
            for one in records
        ]
        totals = {"preview_id": preview_id, "further": further, "unread_lines": unread_lines}
        size = sum(len(str(row["data"])) for row in rows)
        await self._database.write(partial(_save, self._database.fences, preview_id, rows, totals), size_bytes=size)

    async def load(self, preview_id: str) -> tuple[list[FailureRecord], int, int]:
        """Return a preview's records, in no order; and the totals, see ``FailureGroups``.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(_load, preview_id))


def _save(
    fences: Fences,
    preview_id: str,
    rows: Sequence[dict[str, object]],
    totals: dict[str, object],
    connection: Connection,
) -> None:
    if fences.refused(connection, (preview_id,)):
        return
    known = select(preview_instances.c.id).where(preview_instances.c.id == preview_id).with_for_update(read=True)
    if connection.scalar(known) is None:
        return
    if rows:
        ids = [row["id"] for row in rows]
        connection.execute(delete(preview_failures).where(_F.preview_id == preview_id, _F.id.in_(ids)))
        connection.execute(insert(preview_failures), rows)
    connection.execute(delete(preview_failure_totals).where(_T.preview_id == preview_id))
    connection.execute(insert(preview_failure_totals).values(totals))


def _load(preview_id: str, connection: Connection) -> tuple[list[FailureRecord], int, int]:
    rows = connection.execute(select(_F.id, _F.data).where(_F.preview_id == preview_id)).all()
    totals = connection.execute(select(_T.further, _T.unread_lines).where(_T.preview_id == preview_id)).first()
    records = [decode_record(preview_id, row.id, row.data) for row in rows]
    return records, totals.further if totals else 0, totals.unread_lines if totals else 0
