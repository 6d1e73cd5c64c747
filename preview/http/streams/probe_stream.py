"""The progress of one probe as Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import trio

from preview.core.clock import utc_now
from preview.http.core.piecewise import PiecewiseBody
from preview.http.streams.log_streams import Waits

_COMMENT = b":\n\n"
# At most two events a second; of a large result fewer, so that a reader gets at most 256 KiB/s.
_PAUSE_S = 0.5
_BYTES_PER_S = 256 * 1024


class ProbeStreamBody(PiecewiseBody):
    """The body of one stream: the probe at first, after each change, and at its end; then ``end``.

    Args:
        shown: Returns the probe as JSON, on one line.
        over: Set at the probe's end; None if it is over.
        waits: Wakes the stream when the service shuts down.
        expires_at: End of the reader's access.
        keep_alive_s: Seconds of silence before a comment is sent.
    """

    def __init__(
        self,
        shown: Callable[[], str],
        over: trio.Event | None,
        *,
        waits: Waits,
        expires_at: datetime,
        keep_alive_s: float,
    ) -> None:
        self._shown = shown
        self._probe_over = over
        self._waits = waits
        self._expires_at = expires_at
        self._keep_alive_s = keep_alive_s
        self._sent = ""
        self._sent_at = 0.0

    async def __anext__(self) -> bytes:
        """Return the next piece. Cancellation: no state changes."""
        if self._over:
            raise StopAsyncIteration
        await trio.lowlevel.checkpoint()
        while True:
            if self._sent:
                pause_s = max(_PAUSE_S, len(self._sent) / _BYTES_PER_S)
                with self._waits.until(min(pause_s, self._remaining_s)):
                    await self._wait_over()
            if self._is_last:
                break
            text = self._shown()
            if text != self._sent:
                return self._put(text)
            if trio.current_time() - self._sent_at >= self._keep_alive_s:
                self._sent_at = trio.current_time()
                return _COMMENT
        self._over = True
        if self._is_over:
            # Also after the last change: a reader that comes late gets all of it.
            return self._put(self._shown()) + _event("end", json.dumps({}))
        return _COMMENT if self._waits.draining else _event("expired", json.dumps({}))

    @property
    def _is_over(self) -> bool:
        return self._probe_over is None or self._probe_over.is_set()

    @property
    def _is_last(self) -> bool:
        return self._is_over or self._waits.draining or self._remaining_s <= 0

    @property
    def _remaining_s(self) -> float:
        return (self._expires_at - utc_now()).total_seconds()

    async def _wait_over(self) -> None:
        if self._probe_over is not None:
            await self._probe_over.wait()

    def _put(self, text: str) -> bytes:
        self._sent, self._sent_at = text, trio.current_time()
        return _event("probe", text)


def _event(name: str, data: str) -> bytes:
    return f"event: {name}\ndata: {data}\n\n".encode()
