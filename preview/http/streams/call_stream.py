"""An endpoint call's response as Server-Sent Events, while the preview is still writing it."""

from __future__ import annotations

import codecs
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import inf

import trio

from preview.core.clock import utc_now
from preview.errors import PreviewError
from preview.http.core.call_record import CallOutcome
from preview.http.core.piecewise import PiecewiseBody
from preview.http.streams.log_streams import Waits
from preview.proxy import StreamedCall

_COMMENT = b":\n\n"
# A person does not see more; and a response of single bytes makes at most 20 small events a second.
_PAUSE_S = 0.05
# Content of one event.
_PIECE_BYTES = 64 * 1024


class CallEnd(StrEnum):
    """The reason why a stream of a response ended."""

    COMPLETE = "complete"
    FAILED = "failed"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    EXPIRED = "expired"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of one streamed call.

    Attributes:
        size_bytes: Most content that is passed on.
        time_s: Longest time for all the content.
        keep_alive_s: Seconds of silence before a comment is sent.
        expires_at: End of the reader's access; None for never.
    """

    size_bytes: int
    time_s: float
    keep_alive_s: float
    expires_at: datetime | None


class CallStreamBody(PiecewiseBody):
    """The body of one stream: ``head``, then ``piece`` as often as needed, then ``end``.

    A piece has its content as ``text``; from the first byte on that is not UTF-8, as ``base64``.

    Args:
        call: The call, with its head.
        head: Facts for the event ``head``.
        outcome: Receives the facts for the record.
        limits: Bounds of the stream.
        waits: Wakes the stream when the service shuts down.
        explain: Returns the error to show for one of the connection.
        lines: Returns the log lines during the call, for the event ``end``.
    """

    def __init__(
        self,
        call: StreamedCall,
        head: Mapping[str, object],
        outcome: CallOutcome,
        *,
        limits: CallLimits,
        waits: Waits,
        explain: Callable[[PreviewError], Awaitable[PreviewError]],
        lines: Callable[[], Awaitable[object]],
    ) -> None:
        self._call = call
        self._head: Mapping[str, object] | None = head
        self._outcome = outcome
        self._limits = limits
        self._waits = waits
        self._explain = explain
        self._lines = lines
        self._started_at = trio.current_time()
        self._sent_at = -inf
        self._error: PreviewError | None = None
        self._text: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()

    async def __anext__(self) -> bytes:
        """Return the next event. Cancellation: the stream must be left."""
        if self._over:
            raise StopAsyncIteration
        if self._head is not None:
            await trio.lowlevel.checkpoint()
            head, self._head = self._head, None
            return _event("head", head)
        while True:
            with self._waits.until(min(self._limits.keep_alive_s, self._remaining_s)) as scope:
                await self._collect()
            if self._call.pending:
                if (event := self._next_piece()) is not None:
                    return event
                if self._left_bytes <= 0:
                    limit = self._limits.size_bytes
                    return await self._last(
                        CallEnd.TOO_LARGE, f"The response is larger than {limit} bytes; only its beginning is shown."
                    )
            elif self._error is not None:
                return self._rest() or await self._failed(self._error)
            elif self._call.is_over:
                return self._rest() or await self._last(CallEnd.COMPLETE)
            elif self._waits.draining:
                return await self._last(CallEnd.STOPPING, "The service is shutting down.")
            elif self._remaining_s <= 0:
                return await self._out_of_time()
            elif scope.cancelled_caught:
                return _COMMENT

    async def _collect(self) -> None:
        """Wait for content, and then a moment for more if an event was sent just now. An error is kept for later."""
        call = self._call
        if self._error is not None:
            return
        try:
            if not call.pending and not call.is_over:
                await call.read()
            with trio.move_on_after(max(0.0, self._sent_at + _PAUSE_S - trio.current_time())):
                while not call.is_over and len(call.pending) < _PIECE_BYTES:
                    await call.read()
        except PreviewError as error:
            self._error = error

    def _next_piece(self) -> bytes | None:
        """Return the next content as an event; None if there is none that can be shown yet, or too much of it."""
        piece = self._call.take(max(0, min(_PIECE_BYTES, self._left_bytes)))
        if not piece:
            return None
        self._outcome.add(piece)
        return self._encoded(piece, is_last=False)

    def _rest(self) -> bytes | None:
        """Return half a character that the content ends with, as an event; None without one."""
        return self._encoded(b"", is_last=True)

    def _encoded(self, piece: bytes, *, is_last: bool) -> bytes | None:
        if self._text is not None:
            before = self._text.getstate()[0]
            try:
                text = self._text.decode(piece, is_last)
            except UnicodeDecodeError:
                self._text = None
                piece = before + piece
            else:
                return self._put({"text": text}) if text else None
        return self._put({"base64": b64encode(piece).decode()}) if piece else None

    def _put(self, content: Mapping[str, object]) -> bytes:
        self._sent_at = trio.current_time()
        return _event("piece", content)

    @property
    def _left_bytes(self) -> int:
        return self._limits.size_bytes - self._outcome.size_bytes

    @property
    def _remaining_s(self) -> float:
        left_s = self._started_at + self._limits.time_s - trio.current_time()
        expires_at = self._limits.expires_at
        return left_s if expires_at is None else min(left_s, (expires_at - utc_now()).total_seconds())

    async def _failed(self, error: PreviewError) -> bytes:
        shown = await self._explain(error)
        self._outcome.code = shown.code
        return await self._last(CallEnd.FAILED, str(shown))

    async def _out_of_time(self) -> bytes:
        expires_at = self._limits.expires_at
        if expires_at is not None and expires_at <= utc_now():
            return await self._last(CallEnd.EXPIRED, "Your access has ended; only the beginning is shown.")
        limit = f"{self._limits.time_s:g} s"
        detail = f"The response did not end within {limit}; only its beginning is shown."
        return await self._last(CallEnd.TOO_LONG, detail)

    async def _last(self, reason: CallEnd, detail: str | None = None) -> bytes:
        self._over = True
        if reason is not CallEnd.FAILED:
            self._outcome.code = None if reason is CallEnd.COMPLETE else reason.value
        elapsed_s = trio.current_time() - self._started_at + self._outcome.first_byte_s
        facts = {"elapsed_ms": round(elapsed_s * 1000, 1), "size_bytes": self._outcome.size_bytes}
        return _event("end", {"reason": reason.value, "detail": detail, **facts, "log": await self._lines()})


def _event(name: str, data: Mapping[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
