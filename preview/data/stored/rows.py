"""Rows of data snapshots in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, text, update

from preview.core.clock import from_ms, to_ms
from preview.data.snapshot import AUTOMATIC, DataSnapshot, SnapshotKind, decode_parts, encode_parts
from preview.storage.people_tables import owners
from preview.storage.tables import data_snapshots

OWN = frozenset({SnapshotKind.MANUAL, SnapshotKind.BEFORE_MOVE})
"""Data of a running preview; in a cluster, its next node begins with the last of these."""

_S, _O = data_snapshots.c, owners.c
# Stops the trigger of revision 0033, which does this for nodes of an earlier version.
_NOTES_DATA = text("SELECT set_config('preview.notes_data', 'yes', true)")


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


def insert_own(snapshot: DataSnapshot, node: str, connection: Connection) -> None:
    """Insert the row of a snapshot of a preview's own data, and name it in the row of its owner. Blocks.

    A node that stood still may have lost the preview to another one: then the owner's row stays as it is.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTES_DATA)
    insert_row(snapshot, connection)
    # No clock of a node: the last transaction counts.
    its = _O.generation_id == snapshot.generation_id, _O.user_id == snapshot.user_id, _O.state == "running"
    connection.execute(update(owners).where(*its, _O.node == node).values(snapshot_id=snapshot.id))


def find_own(
    generation_id: str, user_id: str, named: str, since_ms: int, connection: Connection
) -> DataSnapshot | None:
    """Return a named snapshot of a preview's own data, or the newest one since its launch. Blocks."""
    mine = _S.generation_id == generation_id, _S.user_id == user_id, _S.removed_at.is_(None)
    kinds = _S.kind.in_([kind.value for kind in OWN])
    query = select(data_snapshots).where(*mine, kinds, or_(_S.id == named, _S.created_at >= since_ms))
    row = connection.execute(query.order_by((_S.id == named).desc(), _S.created_at.desc(), _S.id).limit(1)).first()
    return None if row is None else snapshot_of(row)


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
