"""All live previews of a cluster, oldest first, for operators: those that nodes run, and those that wait for one.

The methods block: they run in the database's threads, each in a transaction of its caller.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Subquery, func, literal, literal_column, select, tuple_

from preview.cluster.nodes import DATABASE_NOW
from preview.core.lifecycle import ACTIVE
from preview.storage.people_tables import nodes, owners
from preview.storage.previews import to_record
from preview.storage.tables import PreviewRecord, preview_instances
from preview.storage.users import MAX_PAGE, decode_cursor, encode_cursor

# The end of a preview is stored before its owner gives it up.
_ACTIVE = frozenset(state.value for state in ACTIVE)
_LIVE = owners.c.state.in_(("queued", "running"))


class Placement(StrEnum):
    """Relation of a live preview to the nodes."""

    PLACED = "placed"
    """A live node has it."""
    QUEUED = "queued"
    """It waits for a node, for its first one or for another one."""
    LOST = "lost"
    """The lease of its node is over; another node takes it."""


@dataclass(frozen=True, slots=True)
class ListedPreview:
    """A live preview of any node.

    Attributes:
        record: Its row. The user is the one who launched it, also while its generation is being deleted.
        node: The node that has it, or had it if that is lost; None for one in the queue.
        placement: Whether it runs or waits.
    """

    record: PreviewRecord
    node: str | None
    placement: Placement


class LivePage(NamedTuple):
    """A page of live previews.

    Attributes:
        items: The previews.
        total: Number of live previews of the cluster.
        capacity: Number of previews that its live nodes may run.
        next: Cursor of the next page; None: the last one.
    """

    items: list[ListedPreview]
    total: int
    capacity: int
    next: str | None


class PreviewList:
    """Reads ``owners`` with their previews. Trials are left out.

    Args:
        now: SQL expression of the time.
    """

    def __init__(self, now: str = DATABASE_NOW) -> None:
        self._is_live = nodes.c.until > literal_column(now)

    def page(self, connection: Connection, cursor: str | None, limit: int) -> LivePage:
        """Return a page.

        Args:
            connection: A connection with an open transaction.
            cursor: The cursor of the page before; None for the first page.
            limit: Rows in a page, clamped to 1 to ``users.MAX_PAGE``.

        Raises:
            InvalidRequest: The cursor is invalid.
        """
        limit = max(1, min(limit, MAX_PAGE))
        # One more shows whether there is a next page.
        page = self._owners(cursor, limit + 1)
        # Outer: a preview is on a page by its owner's row alone, so no page ends too early.
        joined = select(preview_instances, page).outerjoin_from(
            page, preview_instances, preview_instances.c.id == page.c.owned_id
        )
        rows = connection.execute(joined.order_by(page.c.owned_at, page.c.owned_id)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        capacity = select(func.coalesce(func.sum(nodes.c.capacity), 0)).where(self._is_live)
        return LivePage(
            [_listed(row) for row in rows[:limit] if row.status in _ACTIVE],
            connection.scalar(select(func.count()).select_from(owners).where(_LIVE)) or 0,
            int(connection.scalar(capacity) or 0),
            None if last is None else encode_cursor(last.owned_at, last.owned_id),
        )

    def _owners(self, cursor: str | None, most: int) -> Subquery:
        """Return the page's owners alone: the database sorts these, and not whole previews."""
        has_node = select(nodes.c.id).where(nodes.c.id == owners.c.node, self._is_live).exists()
        query = select(
            owners.c.preview_id.label("owned_id"),
            owners.c.queued_at.label("owned_at"),
            owners.c.user_id.label("owned_by"),
            owners.c.node.label("owner_node"),
            owners.c.state.label("owner_state"),
            has_node.label("has_node"),
        ).where(_LIVE)
        if cursor is not None:
            at, preview_id = decode_cursor(cursor)
            query = query.where(
                tuple_(owners.c.queued_at, owners.c.preview_id) > tuple_(literal(at), literal(preview_id))
            )
        return query.order_by(owners.c.queued_at, owners.c.preview_id).limit(most).subquery()


def _listed(row: Row[Any]) -> ListedPreview:
    record = replace(to_record(row), user_id=row.owned_by)
    if row.owner_state == "queued":
        return ListedPreview(record, None, Placement.QUEUED)
    return ListedPreview(record, row.owner_node, Placement.PLACED if row.has_node else Placement.LOST)
