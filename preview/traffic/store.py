"""Reading and pinning of stored requests. ``PreviewStore`` deletes them with their preview."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from preview.core.clock import now_ms
from preview.errors import PinLimitReached, RequestNotFound
from preview.logs.filter import KnownRequests
from preview.storage.database import Database, lock_count
from preview.storage.tables import pinned_requests, preview_instances, preview_requests, preview_traffic
from preview.traffic.known import MOST_ALIKE, KnownIndex
from preview.traffic.record import Capture, RecordedRequest
from preview.traffic.rows import record_of

_R = preview_requests.c
_P = pinned_requests.c
# Bounds of one page: records that are compared with a filter, and their text.
_SCAN_RECORDS = 5000
_SCAN_CHARACTERS = 16 * 1024 * 1024
_CHUNK = 250
MAX_PAGE = 1000

Matches = Callable[[RecordedRequest], bool]


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Stored requests of one preview.

    Attributes:
        items: Records in the order of the query, without headers and bodies unless these were wanted.
        next: Continue with ``before`` (or ``after``) this number; None if there is no more.
        lost_records: Number of the preview's requests that could not be recorded.
        lost_bodies: Number of requests without the headers and bodies that were to be recorded.
        last_number: Number of the preview's last request, stored or lost, as of the last write.
    """

    items: list[RecordedRequest]
    next: int | None
    lost_records: int
    lost_bodies: int
    last_number: int


class TrafficStore:
    """Recorded requests of all previews. Methods run in threads and raise ``DatabaseUnavailable`` in an outage.

    Cancellation: nothing changes, for all that read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = KnownIndex(database)

    async def get(self, preview_id: str, number: int) -> RecordedRequest:
        """Return a record with its headers and bodies.

        Raises:
            RequestNotFound: There is none with this number, it was lost, or it was deleted.

        Cancellation: nothing changes.
        """
        found = await self._database.read(partial(_get, preview_id=preview_id, number=number))
        if found is None:
            raise _missing(number)
        return found

    async def list(
        self,
        preview_id: str,
        matches: Matches | None = None,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
        with_content: bool = False,
    ) -> RequestPage:
        """Return a page of records: the newest first, or with ``after`` the oldest first.

        Args:
            preview_id: The preview.
            matches: Returns whether a record is wanted; gets it with headers and bodies.
            before: Only numbers below this one.
            after: Only numbers above this one.
            limit: Most records, 1 to ``MAX_PAGE``.
            with_content: Return headers and bodies too.

        A page may have fewer records although more follow, as a bounded number is compared: see ``RequestPage.next``.

        Cancellation: nothing changes.
        """
        limit = max(1, min(limit, MAX_PAGE))
        return await self._database.read(
            partial(
                _list,
                preview_id=preview_id,
                matches=matches,
                before=before,
                after=after,
                limit=limit,
                with_content=with_content,
            )
        )

    async def find(self, preview_id: str, request_id: str, line: int) -> RecordedRequest | None:
        """Return the record of a request by its id, with headers and bodies; None if there is none.

        Args:
            preview_id: The preview.
            request_id: ``X-Request-Id``. If several requests have it, one that may have printed the line comes first.
            line: Number of a log line of the request.

        Cancellation: nothing changes.
        """
        return await self._database.read(partial(_find, preview_id=preview_id, request_id=request_id, line=line))

    async def known(self, preview_id: str) -> KnownRequests:
        """Return the facts of the newest ``KNOWN_RECORDS`` (see ``KnownIndex``) requests, for filters of log lines.

        Cancellation: nothing changes.
        """
        return await self._known.get(preview_id)

    async def capture(self, preview_id: str) -> Capture | None:
        """Return the stored capture setting of a preview; None if it has no requests. Cancellation: nothing changes."""
        query = select(preview_traffic.c.capture).where(preview_traffic.c.preview_id == preview_id)
        found = await self._database.read(lambda connection: connection.scalar(query))
        return None if found is None else Capture(found)

    async def pin(self, preview_id: str, number: int, *, user_id: str, most: int) -> None:
        """Keep a record from deletion by age or size. Repeating this changes nothing.

        Args:
            preview_id: The preview.
            number: The record's number.
            user_id: Owner of the preview.
            most: Limit of the owner's pinned records.

        Raises:
            RequestNotFound: There is no such record.
            PinLimitReached: The owner has pinned too many.

        Cancellation: it is pinned, or nothing changes.
        """
        try:
            await self._database.write(partial(_pin, preview_id=preview_id, number=number, user_id=user_id, most=most))
        except IntegrityError:
            raise _missing(number) from None

    async def unpin(self, preview_id: str, number: int) -> None:
        """Let retention delete a record again. Cancellation: done, or nothing changes."""
        gone = delete(pinned_requests).where(_P.preview_id == preview_id, _P.number == number)
        await self._database.write(lambda connection: connection.execute(gone).rowcount)


def _missing(number: int) -> RequestNotFound:
    return RequestNotFound(
        f"There is no recorded request {number}: it was never recorded, or was deleted to free storage; "
        "list the requests.",
        number=number,
    )


def _get(connection: Connection, *, preview_id: str, number: int) -> RecordedRequest | None:
    query = select(_R.facts, _R.content).where(_R.preview_id == preview_id, _R.number == number)
    row = connection.execute(query).first()
    if row is None:
        return None
    pinned = select(_P.number).where(_P.preview_id == preview_id, _P.number == number)
    is_pinned = connection.scalar(pinned) is not None
    return record_of(preview_id, number, row[0], row[1], pinned=is_pinned)


def _find(connection: Connection, *, preview_id: str, request_id: str, line: int) -> RecordedRequest | None:
    # The id ends the facts. SQLite ignores the case of letters here, so the records are compared once more.
    ends = _R.facts.endswith(f" {request_id}", autoescape=True)
    query = select(_R.number, _R.facts).where(_R.preview_id == preview_id, ends).order_by(_R.number.desc())
    rows = connection.execute(query.limit(MOST_ALIKE)).all()
    found = [record_of(preview_id, number, facts, None, pinned=False) for number, facts in rows]
    found = [one for one in found if one.request_id == request_id]
    chosen = next((one for one in found if one.first_line <= line <= one.last_line), found[0] if found else None)
    return None if chosen is None else _get(connection, preview_id=preview_id, number=chosen.number)


def _list(
    connection: Connection,
    *,
    preview_id: str,
    matches: Matches | None,
    before: int | None,
    after: int | None,
    limit: int,
    with_content: bool,
) -> RequestPage:
    has_content = with_content or matches is not None
    pinned = set(connection.scalars(select(_P.number).where(_P.preview_id == preview_id)))
    found: list[RecordedRequest] = []
    scanned = size = 0
    is_upward = after is not None
    place = after if is_upward else before
    following: int | None = None
    while following is None:
        rows = _rows(connection, preview_id, before, after, place, has_content=has_content)
        for number, facts, content in rows:
            if len(found) == limit or scanned >= _SCAN_RECORDS or size >= _SCAN_CHARACTERS:
                following = place
                break
            place = number
            scanned += 1
            size += len(content or "")
            record = record_of(preview_id, number, facts, content, pinned=number in pinned)
            if matches is None or matches(record):
                found.append(record)
        else:
            if len(rows) < _CHUNK:
                break
    t = preview_traffic.c
    row = connection.execute(
        select(t.lost_records, t.lost_bodies, t.last_number).where(t.preview_id == preview_id)
    ).first()
    lost = (0, 0, 0) if row is None else (row[0], row[1], row[2])
    return RequestPage(found, following, *lost)


def _rows(
    connection: Connection,
    preview_id: str,
    before: int | None,
    after: int | None,
    place: int | None,
    *,
    has_content: bool,
) -> list[tuple[int, str, str | None]]:
    """Return the next records beyond ``place``, in the direction of the query."""
    columns = (_R.number, _R.facts, *((_R.content,) if has_content else ()))
    query = select(*columns).where(_R.preview_id == preview_id).limit(_CHUNK)
    if after is not None:
        query = query.where(_R.number > (after if place is None else place)).order_by(_R.number)
        if before is not None:
            query = query.where(_R.number < before)
    else:
        query = query.order_by(_R.number.desc())
        if place is not None:
            query = query.where(_R.number < place)
    return [(row[0], row[1], row[2] if has_content else None) for row in connection.execute(query)]


def _pin(connection: Connection, *, preview_id: str, number: int, user_id: str, most: int) -> None:
    exists = select(_R.number).where(_R.preview_id == preview_id, _R.number == number)
    if connection.scalar(exists) is None:
        raise _missing(number)
    if connection.scalar(select(_P.number).where(_P.preview_id == preview_id, _P.number == number)) is not None:
        return
    of_user = (
        select(func.count())
        .select_from(pinned_requests)
        .join(preview_instances, preview_instances.c.id == _P.preview_id)
        .where(preview_instances.c.user_id == user_id)
    )
    lock_count(connection, pinned_requests.name, user_id)
    if (connection.scalar(of_user) or 0) >= most:
        raise PinLimitReached(
            f"You have pinned {most} requests, the maximum (PREVIEW_PINNED_REQUESTS); unpin some first.", limit=most
        )
    connection.execute(insert(pinned_requests).values(preview_id=preview_id, number=number, pinned_at=now_ms()))
