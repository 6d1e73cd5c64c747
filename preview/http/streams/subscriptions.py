"""Who watches a preview's log, from which line on, and what they hold meanwhile; the same for every kind of stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from quart import Request, Websocket

from preview.errors import Forbidden
from preview.http.backend import backend
from preview.http.core.bodies import MAX_SEQ, StreamQuery
from preview.http.identity import owned_by, require_identity
from preview.http.streams.log_streams import Receiver
from preview.logs import LineFilter, LogPager, Range
from preview.storage.records import PreviewRecord

# Looked at for the last lines that pass a filter; what is before them is given up.
_TAIL_PAGES = 50
_PAGE_LINES = 1000


@dataclass(frozen=True, slots=True)
class StreamRequester:
    """Who watches, and how long they may."""

    user_id: str
    expires_at: datetime | None
    record: PreviewRecord


@dataclass(frozen=True, slots=True)
class LogSource:
    """What they watch.

    Attributes:
        receiver: Gives the events.
        newest_seq: The newest line when they began; None where the preview is over, which ends the stream itself.
    """

    receiver: Receiver
    newest_seq: int | None


async def watcher_of(generation_id: str, ticket: str | None, asked: Request | Websocket) -> StreamRequester:
    """Who asks, by ticket or by token, and which preview it is.

    Raises:
        Unauthenticated, Forbidden, GenerationNotFound: See ``identity``; also for a ticket.
        NoActivePreview, PreviewNotFound: There is none.

    Cancellation: nothing changes.
    """
    if ticket is None:
        identity = await require_identity(asked)
        await owned_by(identity.user.id, generation_id)
        record = await backend().previews.latest(generation_id)
    else:
        identity, preview_id = backend().tickets.redeem(ticket)
        await owned_by(identity.user.id, generation_id)
        record = await backend().previews.get(preview_id)
        if record.generation_id != generation_id:
            raise Forbidden("The stream ticket is for another preview; get one for this.", reason="ticket")
    return StreamRequester(identity.user.id, identity.expires_at, record)


def one_stream(watcher: StreamRequester) -> AbstractContextManager[None]:
    """One of the streams that the user may have; to be held before all work for it.

    Raises:
        TooManyStreams: The user has as many as allowed.
    """
    return backend().slots.hold(watcher.user_id)


@contextmanager
def watching(watcher: StreamRequester, *, after: int | None, tail: int | None) -> Iterator[LogSource]:
    """Count as activity of the preview, and subscribe."""
    made = backend()
    preview = made.previews.find(watcher.record.id)
    log = made.previews.open_log(watcher.record, after=after, tail=tail)
    if preview is None:
        with log as receiver:
            yield LogSource(receiver, None)
        return
    with preview.streaming(), log as receiver:
        yield LogSource(receiver, preview.log.last_seq)


async def first_lines(record: PreviewRecord, query: StreamQuery, after: int | None) -> tuple[int | None, int | None]:
    """Where a stream begins, as ``open_log`` takes it: behind which line, or with how many last ones.

    The last lines of a filtered stream are counted among those that pass. Behind a line that was not given yet, an
    earlier preview's, a stream begins with the first one.

    Raises:
        DatabaseUnavailable: Lines that have left memory cannot be read now.

    Cancellation: nothing changes.
    """
    preview = backend().previews.find(record.id)
    if after is not None and preview is not None and after > preview.log.last_seq:
        return 0, None
    if after is not None or query.tail is None or query.filter.is_open:
        return after, query.tail
    return await _ahead_of_last(backend().previews.look_back(record), query.filter, query.tail), None


async def _ahead_of_last(look_back: LogPager, chosen: LineFilter, count: int) -> int:
    """Number of the line behind which the last ``count`` lines are that pass."""
    before = MAX_SEQ
    for _ in range(_TAIL_PAGES):
        page = await look_back.page(Range(0, before, min(max(count, 1), _PAGE_LINES), newest=True), chosen)
        if not count:
            return page.last_seq
        count -= len(page.lines)
        before = page.first
        if count <= 0 or page.first <= max(page.first_kept, 1):
            break
    return before - 1
