"""Limits of the bytes that recorded requests take in the database, for each preview and in total.

The age is limited with the previews: a preview's requests are deleted with its row (``PreviewStore``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import Executable

from preview.core.lifecycle import ACTIVE
from preview.settings import Settings
from preview.storage.database import Database
from preview.storage.tables import pinned_requests, preview_instances, preview_requests, preview_traffic
from preview.traffic.preview_traffic import PreviewTraffic
from preview.traffic.record import Capture
from preview.traffic.rows import Run

# A preview's stored records are counted in this many pieces; the oldest pieces are deleted first.
_PIECES = 64
_MIB = 1024 * 1024
# Records deleted in one transaction: tens of milliseconds.
_DELETE_RECORDS = 5000
_T = preview_traffic.c
_R = preview_requests.c


class Statistics(NamedTuple):
    """A row of ``preview_traffic``."""

    preview_id: str
    capture: Capture
    last_number: int
    stored_bytes: int
    lost_records: int
    lost_bodies: int


def store_statistics(connection: Connection, statistics: Iterable[Statistics]) -> None:
    """Insert or overwrite rows of ``preview_traffic``."""
    statement = _STORE[connection.dialect.name]
    for one in statistics:
        connection.execute(statement, one._asdict() | {"capture": one.capture.value})


def _store_statement(dialect: str) -> Executable:
    # Made once: making it takes longer than executing it.
    insert = (sqlite if dialect == "sqlite" else postgresql).insert(preview_traffic)
    values = insert.values({name: bindparam(name) for name in Statistics._fields})
    changed = {name: values.excluded[name] for name in Statistics._fields if name != "preview_id"}
    statement: Executable = values.on_conflict_do_update(index_elements=[_T.preview_id], set_=changed)
    return statement


_STORE = {dialect: _store_statement(dialect) for dialect in ("sqlite", "postgresql")}


class Retention:
    """Counts stored bytes, and deletes the oldest records beyond the limits. Pinned records stay."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._limit = settings.stored_requests_mb * _MIB
        self._limit_of_one = min(self._limit, settings.preview_requests_mb * _MIB)
        # [last number, bytes] of the pieces of each live preview, oldest first.
        self._pieces: dict[str, deque[list[int]]] = {}
        # All stored bytes; None before they are read.
        self._total: int | None = None

    def count(self, runs: Sequence[Run]) -> None:
        """Count records that were stored."""
        for run in runs:
            size, last = run.size_bytes, run.first + len(run.elements) - 1
            pieces = self._pieces.setdefault(run.preview_id, deque())
            if pieces and pieces[-1][1] < self._limit_of_one // _PIECES:
                pieces[-1][0] = last
                pieces[-1][1] += size
            else:
                pieces.append([last, size])
            if self._total is not None:
                self._total += size

    async def trim(self, live: Mapping[str, PreviewTraffic]) -> None:
        """Delete records beyond the limits.

        Args:
            live: The live previews.

        Raises:
            DatabaseUnavailable: The database did not respond.

        Cancellation: the next call does the rest.
        """
        for preview_id in [one for one in self._pieces if one not in live]:
            del self._pieces[preview_id]
        # A copy: previews begin and end while this waits for the database.
        for traffic in list(live.values()):
            if traffic.stored_bytes > self._limit_of_one:
                await self._cut(traffic, self._limit_of_one)
        if self._total is None:
            self._total = await self._database.read(_total)
        while self._total > self._limit:
            freed = await self._delete_oldest() or await self._cut_largest(live)
            self._total = await self._database.read(_total)
            if not freed:
                return

    async def _cut(self, traffic: PreviewTraffic, limit: int) -> int:
        """Delete the preview's oldest pieces beyond the limit; return the freed bytes."""
        pieces = self._pieces.get(traffic.preview_id, deque())
        cut = freed = 0
        while traffic.stored_bytes - freed > limit and len(pieces) > 1:
            cut, size = pieces.popleft()
            freed += size
        if cut:
            traffic.stored_bytes = max(0, traffic.stored_bytes - freed)
            while not await self._database.write(
                partial(_delete_up_to, preview_id=traffic.preview_id, number=cut, stored_bytes=traffic.stored_bytes)
            ):
                pass
            if self._total is not None:
                self._total -= freed
        return freed

    async def _cut_largest(self, live: Mapping[str, PreviewTraffic]) -> int:
        largest = max(live.values(), key=lambda one: one.stored_bytes, default=None)
        return 0 if largest is None else await self._cut(largest, largest.stored_bytes // 2)

    async def _delete_oldest(self) -> int:
        """Delete all records of the preview that ended first; return their bytes, 0 if no ended preview has any."""
        found = await self._database.read(_oldest_ended)
        if found is None:
            return 0
        preview_id, last_number, size = found
        while not await self._database.write(
            partial(_delete_up_to, preview_id=preview_id, number=last_number, stored_bytes=0)
        ):
            pass
        return size


def _total(connection: Connection) -> int:
    return int(connection.scalar(select(func.coalesce(func.sum(_T.stored_bytes), 0))) or 0)


def _oldest_ended(connection: Connection) -> tuple[str, int, int] | None:
    ended = preview_instances.c
    query = (
        select(_T.preview_id, _T.last_number, _T.stored_bytes)
        .join(preview_instances, ended.id == _T.preview_id)
        .where(ended.status.not_in([state.value for state in ACTIVE]), _T.stored_bytes > 0)
        .order_by(func.coalesce(ended.stopped_at, ended.created_at))
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else (row[0], row[1], row[2])


def _delete_up_to(connection: Connection, *, preview_id: str, number: int, stored_bytes: int) -> bool:
    """Delete a batch of records up to ``number`` that are not pinned; return True when none is left."""
    pinned = select(pinned_requests.c.number).where(pinned_requests.c.preview_id == preview_id)
    loose = (_R.preview_id == preview_id) & (_R.number <= number) & _R.number.not_in(pinned)
    last = connection.scalar(select(_R.number).where(loose).order_by(_R.number).offset(_DELETE_RECORDS).limit(1))
    connection.execute(delete(preview_requests).where(loose, *(() if last is None else (_R.number < last,))))
    if last is not None:
        return False
    connection.execute(update(preview_traffic).where(_T.preview_id == preview_id).values(stored_bytes=stored_bytes))
    return True
