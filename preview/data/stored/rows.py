"""Rows of data snapshots in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select

from preview.core.clock import from_ms, to_ms
from preview.data.snapshot import AUTOMATIC, DataSnapshot, SnapshotKind, decode_parts, encode_parts
from preview.storage.tables import data_snapshots

_S = data_snapshots.c


def usage(user_id: str, connection: Connection) -> tuple[int, int]:
    """Return how many snapshots a user has taken, and the size of all, also of those that the service has taken.

    Removed ones do not count. Blocks.
    """
    mine = _S.user_id == user_id, _S.removed_at.is_(None)
    own = select(func.count()).select_from(data_snapshots).where(*mine)
    count = connection.scalar(own.where(_S.kind.not_in([kind.value for kind in AUTOMATIC]))) or 0
    size = connection.scalar(select(func.sum(_S.size_bytes)).where(*mine)) or 0
    return count, int(size)


def insert_row(snapshot: DataSnapshot, connection: Connection) -> None:
    """Insert the row of a snapshot. Blocks."""
    connection.execute(
        insert(data_snapshots).values(
            id=snapshot.id,
            generation_id=snapshot.generation_id,
            user_id=snapshot.user_id,
            name=snapshot.name,
            kind=snapshot.kind.value,
            created_at=to_ms(snapshot.created_at),
            size_bytes=snapshot.size_bytes,
            sha256=snapshot.sha256,
            revision=snapshot.revision,
            parts=encode_parts(snapshot.parts),
        )
    )


def delete_rows(ids: Sequence[str], connection: Connection) -> None:
    """Delete rows. Blocks."""
    connection.execute(delete(data_snapshots).where(_S.id.in_(ids)))


def snapshot_of(row: Row[Any]) -> DataSnapshot:
    """Return the snapshot of a row."""
    return DataSnapshot(
        id=row.id,
        generation_id=row.generation_id,
        user_id=row.user_id,
        name=row.name,
        kind=SnapshotKind(row.kind),
        created_at=from_ms(row.created_at),
        revision=row.revision,
        parts=decode_parts(row.parts),
    )
