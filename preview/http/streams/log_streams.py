"""Log streams as response bodies: pending events as chunks, keep-alives, token expiry and final messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from math import inf
from typing import Protocol

import trio

from preview.core.clock import now_ms, utc_now
from preview.core.lifecycle import State, StopCause
from preview.errors import DatabaseUnavailable, TooManyStreams
from preview.http.core.piecewise import PiecewiseBody
from preview.logs import PREAMBLE, Encoding, End, Format, LineFilter, Received, StreamEncoder, encode, expired


@dataclass(frozen=True, slots=True)
class Farewell:
    """The reasons to end one stream before its preview ends.

    Attributes:
        preview_id: The preview of the log.
        encoding: Encoding of the stream.
        expires_at: Expiry of the token that opened the stream; None for never.
    """

    preview_id: str
    encoding: Encoding
    expires_at: datetime | None

    @property
    def remaining_s(self) -> float:
        """Seconds until the token expires."""
        return inf if self.expires_at is None else (self.expires_at - utc_now()).total_seconds()

    def due(self, *, draining: bool) -> bytes | None:
        """Return the final message if the stream must end now."""
        if draining:
            reason = "stopped: the service is shutting down"
            cause = StopCause.SHUTDOWN.value
            goodbye = End(self.preview_id, State.STOPPED.value, reason, None, None, now_ms(), cause)
            return encode([goodbye], self.encoding)
        return expired(self.encoding.format) if self.remaining_s <= 0 else None


class Ending(Enum):
    """Reason for the end of a stream."""

    CUT = "somebody left it"
    COMPLETE = "everything was said"
    EXPIRED = "its token has ended"
    DRAINING = "the service goes down"
    UNAVAILABLE = "the database does not answer"
    TOO_COSTLY = "its filter needs too much time"


class Receiver(Protocol):
    """Common interface of a live subscription and a history; both give the same events."""

    async def receive(self) -> list[Received]:
        """Return all pending events; raise ``trio.EndOfChannel`` after the end. Cancellation: no event is lost."""


# All guests of one preview together may have this many times the streams of one user.
_GUESTS_SHARE = 10


class StreamSlots:
    """Number of open streams of each user and guest, within the limit; and of all guests of each preview."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[str, int] = {}
        # Streams of all guests of a preview; a share link makes many guests of one person.
        self._of_guests: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Number of open streams of all users."""
        return sum(self._open.values())

    def open_of(self, user_id: str) -> int:
        """Return the number of this user's open streams."""
        return self._open.get(user_id, 0)

    @contextmanager
    def hold(self, user_id: str) -> Iterator[None]:
        """Count one stream while this context is open.

        Args:
            user_id: The user, or a guest; see ``Identity.key``.

        Raises:
            TooManyStreams: The user, or all guests of the preview, have the maximum number of streams.
        """
        count = self._open.get(user_id, 0)
        group = user_id.rpartition("\n")[0]
        if group and self._of_guests.get(group, 0) >= _GUESTS_SHARE * self._limit:
            raise TooManyStreams(
                "The guests of this preview have the maximum number of streams open together; come back in a moment.",
                limit=_GUESTS_SHARE * self._limit,
            )
        if count >= self._limit:
            raise TooManyStreams(
                f"You have {count} log streams open, the maximum; close one (a page left open in another "
                "tab holds one).",
                limit=self._limit,
                open_streams=count,
            )
        _count(self._open, user_id, 1)
        _count(self._of_guests, group, 1)
        try:
            yield
        finally:
            _count(self._open, user_id, -1)
            _count(self._of_guests, group, -1)


def _count(counts: dict[str, int], key: str, by: int) -> None:
    left = counts.get(key, 0) + by
    if left and key:
        counts[key] = left
    else:
        counts.pop(key, None)


class Waits:
    """The streams that wait for something to send; one call wakes all of them when the service shuts down."""

    def __init__(self) -> None:
        self._waiting: set[trio.CancelScope] = set()
        self.draining = False

    @contextmanager
    def until(self, timeout_s: float) -> Iterator[trio.CancelScope]:
        """Provide a scope that is cancelled after ``timeout_s`` seconds (at once if below 0), or by ``wake_all``."""
        with trio.move_on_after(0 if self.draining else max(0, timeout_s)) as scope:
            self._waiting.add(scope)
            try:
                yield scope
            finally:
                self._waiting.discard(scope)

    async def wake_when(self, draining: trio.Event) -> None:
        """Call ``wake_all`` when the service begins to stop. Cancellation: no state changes."""
        await draining.wait()
        self.wake_all()

    def wake_all(self) -> None:
        """End all current and future waits, because the service is stopping."""
        self.draining = True
        for scope in self._waiting:
            scope.cancel()


class LogStreamBody(PiecewiseBody):
    """The body of one log stream. Its subscription and its slot belong to the request.

    Args:
        receiver: Source of the events.
        encoding: Encoding of the stream.
        waits: Wakes the stream when the service shuts down.
        preview_id: The preview for the final message.
        expires_at: Expiry of the token that opened the stream; None for never.
        keep_alive_s: Seconds of silence before a keep-alive is sent.
        until_seq: Last line, after which the stream closes; None follows the log.
        start_seq: The last line that the client already has.

    Attributes:
        ending: Reason of the end; ``CUT`` until the stream has ended.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        encoding: Encoding,
        waits: Waits,
        preview_id: str,
        expires_at: datetime | None,
        keep_alive_s: float,
        until_seq: int | None = None,
        start_seq: int = 0,
    ) -> None:
        self._receiver = receiver
        self._sender = StreamEncoder(encoding, start_seq=start_seq)
        self._waits = waits
        self._farewell = Farewell(preview_id, encoding, expires_at)
        self._keep_alive_s = keep_alive_s
        self._until_seq = until_seq
        # Time of the last sent data.
        self._silent_since = trio.current_time()
        self._begun = encoding.format is not Format.SSE
        self.ending = Ending.CUT

    def refilter(self, chosen: LineFilter) -> int:
        """Filter lines by ``chosen`` from now on; return the number of the last line before the change."""
        self._sender.encoding = replace(self._sender.encoding, filter=chosen)
        return self._sender.seen_seq

    async def __anext__(self) -> bytes:
        """Return the next chunk. Cancellation: a resumed stream sends lost events again."""
        chunk = b""
        if not self._begun:
            # The preamble shows the client an open stream, although no line was sent yet.
            self._begun = True
            chunk = PREAMBLE
        while not chunk:
            if self._over:
                raise StopAsyncIteration
            chunk = await self._next_chunk()
        self._silent_since = trio.current_time()
        return chunk

    async def _next_chunk(self) -> bytes:
        """Return the next data; empty if no pending event is for this client."""
        # A final message may interrupt a wait, but must not replace pending lines.
        if last := self._farewell.due(draining=False):
            return self._last(last, Ending.EXPIRED)
        if self._until_seq is not None and self._sender.seen_seq >= self._until_seq:
            return self._last(self._sender.progress() if self._sender.is_ahead else b"", Ending.COMPLETE)
        silence_s = self._silent_since + self._keep_alive_s - trio.current_time()
        try:
            with self._waits.until(max(0, min(silence_s, self._farewell.remaining_s))) as scope:
                events = await self._receiver.receive()
        except trio.EndOfChannel:
            return self._last(b"", Ending.COMPLETE)
        except DatabaseUnavailable:
            # Close without an end: the client reconnects after its last line.
            return self._last(b"", Ending.UNAVAILABLE)
        if scope.cancelled_caught:
            last = self._farewell.due(draining=self._waits.draining)
            if last is None:
                return self._sender.idle()
            return self._last(last, Ending.DRAINING if self._waits.draining else Ending.EXPIRED)
        chunk = self._sender.encode(events)
        if self._sender.has_failed:
            return self._last(b"", Ending.TOO_COSTLY)
        return self._last(chunk, Ending.COMPLETE) if any(isinstance(event, End) for event in events) else chunk

    def _last(self, chunk: bytes, ending: Ending) -> bytes:
        self._over = True
        self.ending = ending
        return chunk
