"""A log over a WebSocket: it sends events and receives filters."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import trio
from pydantic import ConfigDict, ValidationError
from quart import Websocket

from preview.errors import InvalidRequest, PreviewError, PreviewUnavailable
from preview.http.core.bodies import MAX_SEQ, StreamQuery
from preview.http.core.line_query import LineQuery
from preview.http.core.reading import sentence_of
from preview.http.protocol.strict_ws import Peer, watch_peer
from preview.http.streams.log_streams import Ending, LogStreamBody, Receiver
from preview.logs import LineFilter, LogPager, LogReplica, Range, messages
from preview.storage.tables import PreviewRecord
from preview.supervisor import PreviewManager

# A filter is some 300 bytes.
_MESSAGE_CHARACTERS = 4096
# Up to this length, the close reason explains the error; longer messages are not even buffered.
_HELD_CHARACTERS = 4 * _MESSAGE_CHARACTERS


@dataclass(frozen=True, slots=True)
class Close:
    """Close code and reason (RFC 6455 section 7.4; 1013 is IANA's, 4000 to 4999 are this service's).

    Attributes:
        code: For programs.
        reason: For people; at most 123 bytes.
    """

    code: int
    reason: str


CLOSE_CODES: Mapping[Ending, Close] = MappingProxyType(
    {
        Ending.COMPLETE: Close(1000, "All lines were sent."),
        Ending.DRAINING: Close(1001, "The service is stopping; reconnect in a moment."),
        Ending.UNAVAILABLE: Close(1013, "The database does not respond; reconnect in a moment."),
        Ending.TOO_COSTLY: Close(1008, "The filter's regular expression needs too much time; make it simpler."),
        Ending.EXPIRED: Close(4401, "The token that opened this stream has expired; reconnect with a new one."),
    }
)
_NOT_TEXT = Close(1003, "Send messages as JSON text.")
_SILENT = Close(4408, "Two pings got no pong; reconnect to continue.")
_TOO_LONG = Close(1009, f"A message may have at most {_MESSAGE_CHARACTERS} characters.")


class _Message(LineQuery):
    """Message of a client: a filter replaces the previous one; missing fields do not filter."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    type: Literal["filter", "ping"]


class LogSocket:
    """One accepted WebSocket.

    Args:
        socket: Quart's WebSocket, accepted.
        body: Source of the events as NDJSON.
        peer: The other end; None if the server itself checks whether it is alive.
        ping_s: Seconds between two pings; a peer that is silent for two intervals is gone.
        resolve: Returns the filter of a query; raises a ``PreviewError`` if it has a mistake.
    """

    def __init__(
        self,
        socket: Websocket,
        body: LogStreamBody,
        *,
        peer: Peer | None,
        ping_s: float,
        resolve: Callable[[LineQuery], Awaitable[LineFilter]],
    ) -> None:
        self._socket = socket
        self._resolve = resolve
        self._body = body
        self._peer = peer
        self._ping_s = ping_s
        self._close: Close | None = None
        if peer is not None:
            peer.bound_messages(_HELD_CHARACTERS)

    async def run(self) -> None:
        """Send events and receive messages until either side ends. Owns the nursery of its three tasks.

        Cancellation: the connection is closed at once; a returning client continues at the same line.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_messages, nursery.cancel_scope)
            if self._peer is not None:
                nursery.start_soon(self._watch, self._peer, nursery.cancel_scope)
            await self._send_events()
            nursery.cancel_scope.cancel()
        if self._close is not None:
            await self._socket.close(self._close.code, self._close.reason)

    async def _send_events(self) -> None:
        async with self._body as body:
            async for chunk in body:
                for message in messages(chunk):
                    await self._socket.send(message)
        self._close = CLOSE_CODES.get(self._body.ending)

    async def _take_messages(self, scope: trio.CancelScope) -> None:
        # The receive also detects a disconnect: Quart then cancels this task.
        while self._close is None:
            said = await self._socket.receive()
            if not isinstance(said, str):
                self._close = _NOT_TEXT
            elif len(said) > _MESSAGE_CHARACTERS:
                self._close = _TOO_LONG
            else:
                await self._socket.send(json.dumps([await self._answer(said)]))
        scope.cancel()

    async def _answer(self, said: str) -> dict[str, object]:
        try:
            message = _Message.model_validate_json(said)
        except ValidationError as error:
            return {"type": "error", "code": InvalidRequest.code, "detail": sentence_of(error, "The message")}
        if message.type == "ping":
            return {"type": "pong"}
        try:
            chosen = await self._resolve(message)
        except PreviewError as error:
            return {"type": "error", "code": error.code, "detail": error.message} | error.details
        seq = self._body.refilter(chosen)
        kept = {"level": message.level, "source": message.source, "q": message.q, "request_id": message.request_id}
        kept |= {"filter": message.filter, "checks": message.checks}
        return {"type": "filter", "after": seq} | kept

    async def _watch(self, peer: Peer, scope: trio.CancelScope) -> None:
        await watch_peer(peer, self._ping_s)
        self._close = _SILENT
        scope.cancel()


# Most pages to search for the last lines that pass a filter; earlier lines are ignored.
_TAIL_PAGES = 50
_PAGE_LINES = 1000


@dataclass(frozen=True, slots=True)
class StreamRequester:
    """The person of a stream, their deadline, and whether their access can be revoked before."""

    user_id: str
    expires_at: datetime | None
    record: PreviewRecord
    is_revocable: bool = False


@dataclass(frozen=True, slots=True)
class LogSource:
    """The log of a stream.

    Attributes:
        receiver: Source of the events.
        newest_seq: The newest line at the start; None for an ended preview, whose stream ends by itself.
    """

    receiver: Receiver
    newest_seq: int | None


@contextmanager
def watching(
    previews: PreviewManager,
    watcher: StreamRequester,
    *,
    after: int | None,
    tail: int | None,
    replica: LogReplica | None = None,
) -> Iterator[LogSource]:
    """Subscribe to the log, and count the subscription as activity of the preview.

    Args:
        previews: Those of this node.
        watcher: The reader.
        after: The last line that the reader has.
        tail: The number of last lines to begin with.
        replica: The log, if another node has the preview.
    """
    if replica is not None:
        with replica.subscribe(after=after, tail=tail) as receiver:
            yield LogSource(receiver, replica.last_seq)
        return
    preview = previews.find(watcher.record.id)
    log = previews.open_log(watcher.record, after=after, tail=tail)
    if preview is None:
        with log as receiver:
            yield LogSource(receiver, None)
        return
    with preview.streaming(), log as receiver:
        yield LogSource(receiver, preview.log.last_seq)


async def first_lines(
    previews: PreviewManager,
    record: PreviewRecord,
    query: StreamQuery,
    chosen: LineFilter,
    after: int | None,
    replica: LogReplica | None = None,
) -> tuple[int | None, int | None]:
    """Return a stream's start for ``open_log``: after a line, or a number of last lines.

    The last lines of a filtered stream are counted among those that pass. If ``after`` is beyond the newest line, it
    belongs to an earlier preview, and the stream starts with the first line. ``SharedLogs.opened`` has checked that for
    a replica.

    Raises:
        PreviewUnavailable: The newest line is not known for certain: another node may have the preview.
        DatabaseUnavailable: Lines that are no longer in memory cannot be read now.

    Cancellation: no state changes.
    """
    preview = previews.find(record.id)
    live = replica if preview is None else preview.log
    last_seq = record.last_seq if live is None else live.last_seq
    if after is not None and (last_seq is None or after > last_seq):
        if (preview is not None or replica is None) and not previews.knows_last_line(record):
            raise PreviewUnavailable("The preview changes its node; try again in a moment.")
        if live is not None:
            return 0, None
    if after is not None or query.tail is None or chosen.is_open:
        return after, query.tail
    pager = previews.look_back(record) if replica is None else replica.pager()
    return await _ahead_of_last(pager, chosen, query.tail), None


async def _ahead_of_last(look_back: LogPager, chosen: LineFilter, count: int) -> int:
    """Return the number of the line before the last ``count`` lines that pass."""
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
