"""Live recorded requests as Server-Sent Events. Only stored requests are sent: a crash loses none that was shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from math import inf

import trio

from preview.core.clock import utc_now
from preview.errors import DatabaseUnavailable
from preview.http.core.piecewise import PiecewiseBody
from preview.http.streams.log_streams import Waits
from preview.traffic import PreviewTraffic, RecordedRequest, TrafficStore

# Records of one chunk.
_PAGE = 200
_COMMENT = b":\n\n"


class RequestStreamBody(PiecewiseBody):
    """The body of one stream of recorded requests.

    Args:
        store: Reads the records.
        traffic: The preview's recorder; None if the preview is over.
        preview_id: The preview.
        after: Number of the last record that the client has.
        matches: Returns whether a record is wanted; None for all.
        shown: Returns a record as JSON.
        waits: Wakes the stream when the service shuts down.
        expires_at: Expiry of the client's token; None for never.
        keep_alive_s: Seconds of silence before a comment is sent.
    """

    def __init__(
        self,
        store: TrafficStore,
        traffic: PreviewTraffic | None,
        preview_id: str,
        *,
        after: int,
        matches: Callable[[RecordedRequest], bool] | None,
        shown: Callable[[RecordedRequest], str],
        waits: Waits,
        expires_at: datetime | None,
        keep_alive_s: float,
    ) -> None:
        self._store = store
        self._traffic = traffic
        self._preview_id = preview_id
        self._seen = after
        self._matches = matches
        self._shown = shown
        self._waits = waits
        self._expires_at = expires_at
        self._keep_alive_s = keep_alive_s
        self._lost = 0 if traffic is None else traffic.lost_records
        self._has_begun = False

    async def __anext__(self) -> bytes:
        """Return the next chunk. Cancellation: a resumed stream sends lost events again."""
        if self._over:
            raise StopAsyncIteration
        if not self._has_begun:
            # Shows the client an open stream.
            self._has_begun = True
            return _COMMENT
        while True:
            try:
                chunk = await self._next_page()
            except DatabaseUnavailable:
                # Close without an end: the client reconnects after its last record.
                self._over = True
                return _COMMENT
            if chunk:
                return chunk
            traffic = self._traffic
            if traffic is None or (traffic.is_closed and traffic.stored_number <= self._seen):
                return self._last("end", {"preview_id": self._preview_id})
            if self._remaining_s <= 0:
                return self._last("expired", {})
            with self._waits.until(min(self._keep_alive_s, self._remaining_s)) as scope:
                await traffic.wait_beyond(self._seen)
            if scope.cancelled_caught:
                if self._waits.draining:
                    self._over = True
                return _COMMENT

    async def _next_page(self) -> bytes:
        """Return stored records beyond the last one as events; empty if there is none."""
        traffic = self._traffic
        # All up to this number are stored or lost: taken before the query.
        newest = None if traffic is None else traffic.stored_number + 1
        if newest is not None and newest <= self._seen + 1:
            await trio.lowlevel.checkpoint()
            return b""
        page = await self._store.list(self._preview_id, self._matches, after=self._seen, before=newest, limit=_PAGE)
        events = [f"event: request\nid: {one.number}\ndata: {self._shown(one)}\n\n" for one in page.items]
        if page.next is not None:
            self._seen = page.next
        elif newest is not None:
            self._seen = newest - 1
        elif page.items:
            self._seen = page.items[-1].number
        if traffic is not None and traffic.lost_records > self._lost:
            self._lost = traffic.lost_records
            events.append(f"event: lost\ndata: {json.dumps({'lost': self._lost})}\n\n")
        if not events and page.next is not None:
            return _COMMENT
        return "".join(events).encode()

    @property
    def _remaining_s(self) -> float:
        return inf if self._expires_at is None else (self._expires_at - utc_now()).total_seconds()

    def _last(self, event: str, data: dict[str, str]) -> bytes:
        self._over = True
        return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
