"""The operator's list of live previews: of all nodes of a cluster from the database, else of this service's memory."""

from __future__ import annotations

import platform

from preview.cluster import ListedPreview, LivePage, Placement, PreviewList
from preview.core.clock import to_ms
from preview.http.backend import Backend
from preview.http.contracts.people.account import OperatorPreview, OperatorPreviews
from preview.storage.users import decode_cursor, encode_cursor


def own_name(backend: Backend) -> str:
    """Return this node's name; without a cluster, the machine's."""
    cluster = backend.service.cluster
    return platform.node() if cluster is None else cluster.name


async def operator_previews(backend: Backend, cursor: str | None, limit: int) -> OperatorPreviews:
    """Return a page of the live previews of all users, oldest first.

    Raises:
        InvalidRequest: The cursor is invalid.
        DatabaseUnavailable: The cluster's previews are not known now.

    Cancellation: nothing changes.
    """
    if backend.service.cluster is None:
        page = _page_here(backend, cursor, limit)
    else:
        rows = PreviewList()
        page = await backend.service.database.read(lambda connection: rows.page(connection, cursor, limit))
    here, name = backend.previews.all_active, own_name(backend)
    # A preview that another node has taken may still end here.
    items = [OperatorPreview.of(one, here.get(one.record.id) if one.node == name else None) for one in page.items]
    return OperatorPreviews(items=items, total=page.total, limit=page.capacity, next=page.next)


def _page_here(backend: Backend, cursor: str | None, limit: int) -> LivePage:
    after, name = (0, "") if cursor is None else decode_cursor(cursor), own_name(backend)
    live = sorted((to_ms(one.record.created_at), one.id, one.record) for one in backend.previews.all_active.values())
    rest = [one for one in live if one[:2] > after]
    following = encode_cursor(*rest[limit - 1][:2]) if len(rest) > limit else None
    items = [ListedPreview(record, name, Placement.PLACED) for _, _, record in rest[:limit]]
    return LivePage(items, len(live), backend.settings.max_previews, following)
