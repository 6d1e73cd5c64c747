"""Log streams as response bodies: what is pending as one chunk, keep-alives, expiry, goodbye."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

import trio
from quart.wrappers.response import ResponseBody

from preview.clock import now_ms, utc_now
from preview.errors import DatabaseUnavailable, TooManyStreams
from preview.lifecycle import State
from preview.logs import EXPIRED, KEEP_ALIVE, PREAMBLE, Batch, Contract, End, Gap, Received, encode

__all__ = ["LogStreamBody", "Received", "Receiver", "StreamSlots", "Waits"]


class Receiver(Protocol):
    """A live subscription or a history: both give the same events."""

    async def receive(self) -> list[Received]:
        """Everything pending; ``trio.EndOfChannel`` behind the end. Cancellation: nothing is lost."""


class StreamSlots:
    """How many streams each user has open, within the limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Open streams of all users."""
        return sum(self._open.values())

    @contextmanager
    def hold(self, user_id: str) -> Iterator[None]:
        """Count one stream of the user for as long as this is open.

        Raises:
            TooManyStreams: The user has as many as allowed.
        """
        count = self._open.get(user_id, 0)
        if count >= self._limit:
            raise TooManyStreams(
                f"You have {count} log streams open and may have no more; close one (a page left open in another "
                "tab holds one).",
                limit=self._limit,
                open_streams=count,
            )
        self._open[user_id] = count + 1
        try:
            yield
        finally:
            self._open[user_id] -= 1
            if not self._open[user_id]:
                del self._open[user_id]


class Waits:
    """The streams that wait for something to send, so that one call wakes them all when the service goes down."""

    def __init__(self) -> None:
        self._waiting: set[trio.CancelScope] = set()
        self.draining = False

    @contextmanager
    def until(self, timeout_s: float) -> Iterator[trio.CancelScope]:
        """A scope that is cancelled after ``timeout_s`` seconds, or when everybody shall wake up."""
        with trio.move_on_after(0 if self.draining else timeout_s) as scope:
            self._waiting.add(scope)
            try:
                yield scope
            finally:
                self._waiting.discard(scope)

    def wake_all(self) -> None:
        """The service goes down: every wait ends, now and from now on."""
        self.draining = True
        for scope in self._waiting:
            scope.cancel()


class LogStreamBody(ResponseBody):
    """The body of one log stream.

    A ``ResponseBody`` rather than a generator: it gets ``__aexit__`` however the response ends, where a generator
    suspended at ``yield`` would get ``GeneratorExit`` and could await nothing. It holds nothing itself, either: its
    subscription and its slot belong to the request (``request_resources``).

    Args:
        receiver: What to send.
        contract: In whose words.
        waits: Wakes it when the service goes down.
        preview_id: For the goodbye.
        expires_at: When the token that opened it ends.
        keep_alive_s: Seconds of silence until a comment is sent.
        until_seq: Close behind this line instead of following; None follows.
        start_seq: The last line that the client has already.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        contract: Contract,
        waits: Waits,
        preview_id: str,
        expires_at: datetime | None,
        keep_alive_s: float,
        until_seq: int | None = None,
        start_seq: int = 0,
    ) -> None:
        self._receiver = receiver
        self._contract = contract
        self._waits = waits
        self._preview_id = preview_id
        self._expires_at = expires_at
        self._keep_alive_s = keep_alive_s
        self._until_seq = until_seq
        self._sent_seq = start_seq
        self._begun = False
        self._over = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk. Cancellation: nothing is lost that a resumed stream would not send again."""
        if not self._begun:
            # The preamble goes out at once: the client sees an open stream although nothing was said yet.
            self._begun = True
            return PREAMBLE
        if self._over:
            raise StopAsyncIteration
        return await self._next_chunk()

    async def _next_chunk(self) -> bytes:
        remaining_s = self._remaining_s()
        if remaining_s <= 0:
            return self._last(EXPIRED)
        if self._until_seq is not None and self._sent_seq >= self._until_seq:
            raise StopAsyncIteration
        try:
            with self._waits.until(min(self._keep_alive_s, remaining_s)) as scope:
                events = await self._receiver.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        except DatabaseUnavailable:
            # Closed without an end: the client comes back behind the last line it has.
            raise StopAsyncIteration from None
        if scope.cancelled_caught:
            return self._interrupted()
        self._note(events)
        return encode(events, self._contract)

    def _interrupted(self) -> bytes:
        if self._waits.draining:
            reason = "stopped: the service is shutting down"
            goodbye = End(self._preview_id, State.STOPPED.value, reason, None, None, now_ms())
            return self._last(encode([goodbye], self._contract))
        return self._last(EXPIRED) if self._remaining_s() <= 0 else KEEP_ALIVE

    def _last(self, chunk: bytes) -> bytes:
        self._over = True
        return chunk

    def _remaining_s(self) -> float:
        return float("inf") if self._expires_at is None else (self._expires_at - utc_now()).total_seconds()

    def _note(self, events: list[Received]) -> None:
        for event in events:
            if isinstance(event, Batch | Gap):
                self._sent_seq = event.last_seq
            elif isinstance(event, End):
                self._over = True
