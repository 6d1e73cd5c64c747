"""Facts of recorded requests for filters of log lines: one index for each preview, which all its streams share."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakValueDictionary

import trio
from sqlalchemy import Connection, select

from preview.logs.filter import Access, KnownRequests
from preview.storage.database import Database
from preview.storage.tables import preview_requests
from preview.traffic.rows import record_of

KNOWN_RECORDS = 5000
"""Newest records whose facts the terms of a filter find for log lines."""
KNOWN_PATH = 256
"""Characters of a path among these facts, which stay in memory while a stream with such a filter is open."""
MOST_ALIKE = 20
"""Newest requests with the same id among which the one of a line is sought."""

_R = preview_requests.c
# Records that are in memory at a time while their facts are read: one may have 32 KiB.
_READ_AT_ONCE = 200


@dataclass(slots=True, weakref_slot=True)
class _Index:
    """Facts of the newest requests of one preview. It lives as long as a filter's ``KnownRequests`` holds it.

    Attributes:
        by_id: Facts by request id.
        newest: Number of the newest record in it; 0 for none.
        order: Request ids of the records in it, the oldest first.
        counts: Number of records in it by request id.
        lock: One reader adds records at a time.
    """

    by_id: dict[str, tuple[Access, ...]] = field(default_factory=dict)
    newest: int = 0
    order: deque[str] = field(default_factory=deque)
    counts: Counter[str] = field(default_factory=Counter)
    lock: trio.Lock = field(default_factory=trio.Lock)

    def add(self, request_id: str, access: Access) -> None:
        """Add the facts of a newer record, and forget those of the oldest one if there are too many."""
        # Each line with the id is compared with all of them, and clients choose ids.
        self.by_id[request_id] = (access, *self.by_id.get(request_id, ()))[:MOST_ALIKE]
        self.order.append(request_id)
        self.counts[request_id] += 1
        if len(self.order) > KNOWN_RECORDS:
            self._forget(self.order.popleft())

    def _forget(self, request_id: str) -> None:
        self.counts[request_id] -= 1
        left = self.counts[request_id]
        if left == 0:
            del self.counts[request_id], self.by_id[request_id]
        else:
            self.by_id[request_id] = self.by_id[request_id][:left]


class KnownIndex:
    """The indexes of all previews that a filter uses.

    A filter gets the number of the newest record as of its start, and the shared facts: a later filter adds newer
    records to them, which earlier filters find too.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._indexes: WeakValueDictionary[str, _Index] = WeakValueDictionary()

    async def get(self, preview_id: str) -> KnownRequests:
        """Return the facts of the newest ``KNOWN_RECORDS`` requests. Cancellation: nothing changes."""
        index = self._indexes.get(preview_id)
        if index is None:
            index = self._indexes[preview_id] = _Index()
        async with index.lock:
            rows = await self._database.read(partial(_newer, preview_id=preview_id, than=index.newest))
            # Atomic: no await until the end.
            for number, request_id, access in reversed(rows):
                index.add(request_id, access)
                index.newest = number
        return KnownRequests(index.newest, index.by_id, index)


def _newer(connection: Connection, *, preview_id: str, than: int) -> list[tuple[int, str, Access]]:
    """Return the facts of the newest records above a number, the newest first."""
    query = select(_R.number, _R.facts).where(_R.preview_id == preview_id, _R.number > than)
    rows = connection.execute(
        query.order_by(_R.number.desc()).limit(KNOWN_RECORDS), execution_options={"yield_per": _READ_AT_ONCE}
    )
    found: list[tuple[int, str, Access]] = []
    paths: dict[str, str] = {}
    for number, facts in rows:
        one = record_of(preview_id, number, facts, None, pinned=False)
        path = one.path[:KNOWN_PATH]
        found.append(
            (number, one.request_id, Access(one.method, paths.setdefault(path, path), one.status, one.timing.ended))
        )
    return found
