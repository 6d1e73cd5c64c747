"""A user's events as Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import trio

from preview.core.clock import utc_now
from preview.http.core.piecewise import PiecewiseBody
from preview.http.streams.log_streams import Waits
from preview.together import UserEvent, UserEvents

_COMMENT = b":\n\n"


class EventStreamBody(PiecewiseBody):
    """The body of one stream: `start` first, then each event.

    A reader that is too slow, or was away too long, gets another `start`, and reads everything again.

    Args:
        events: The user's events.
        last_id: Id of the last event that the client has; empty for none.
        shown: Returns the data of an event for this reader; None for an event that is not for them.
        start: Returns the data of `start`, without its `resumed`.
        over: Set at the end of the preview that a guest is bound to; None for the user. A guest's events have no
            numbers, and no sign of an event that the guest may not see.
        waits: Wakes the stream when the service shuts down.
        expires_at: End of the reader's access.
        keep_alive_s: Seconds of silence before a comment is sent.
    """

    def __init__(
        self,
        events: UserEvents,
        last_id: str,
        *,
        shown: Callable[[UserEvent], str | None],
        start: Callable[[], dict[str, Any]],
        over: trio.Event | None,
        waits: Waits,
        expires_at: datetime,
        keep_alive_s: float,
    ) -> None:
        self._events = events
        self._shown = shown
        self._start = start
        self._preview_over = over
        self._waits = waits
        self._expires_at = expires_at
        self._keep_alive_s = keep_alive_s
        known = events.number_in(last_id)
        self._is_resumed = known is not None and events.after(known) is not None
        self._seen = known if known is not None and self._is_resumed else events.last
        self._has_begun = False

    async def __anext__(self) -> bytes:
        """Return the next piece. Cancellation: a resumed stream sends lost events again."""
        if self._over:
            raise StopAsyncIteration
        if not self._has_begun:
            self._has_begun = True
            return self._first()
        deadline = trio.current_time() + min(self._keep_alive_s, self._remaining_s)
        while True:
            with self._waits.until(deadline - trio.current_time()):
                await self._until_changed()
            if self._remaining_s <= 0:
                return self._last("expired")
            if self._waits.draining:
                self._over = True
                return _COMMENT
            # Before the end: the reader learns the preview's last state.
            if pending := self._pending():
                return pending
            if self._has_ended():
                return self._last("end")
            if trio.current_time() >= deadline:
                return _COMMENT

    def _first(self) -> bytes:
        data = {"resumed": self._is_resumed, **self._start()}
        return self._event("start", json.dumps(data), self._seen)

    def _has_ended(self) -> bool:
        return self._preview_over is not None and self._preview_over.is_set()

    async def _until_changed(self) -> None:
        if self._events.last != self._seen or self._has_ended():
            await trio.lowlevel.checkpoint()
        elif self._preview_over is None:
            await self._events.wait()
        else:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, self._preview_over, nursery.cancel_scope)
                await self._events.wait()
                nursery.cancel_scope.cancel()

    def _pending(self) -> bytes:
        found, self._seen = self._events.after(self._seen), self._events.last
        if found is None:
            self._is_resumed = False
            return self._first()
        told = ((one, self._shown(one)) for one in found)
        return b"".join(self._event(one.name, data, one.number) for one, data in told if data is not None)

    @property
    def _remaining_s(self) -> float:
        return (self._expires_at - utc_now()).total_seconds()

    def _last(self, event: str) -> bytes:
        self._over = True
        return self._event(event, "{}")

    def _event(self, name: str, data: str, number: int | None = None) -> bytes:
        is_numbered = number is not None and self._preview_over is None
        numbered = f"id: {self._events.id_of(number or 0)}\n" if is_numbered else ""
        return f"event: {name}\n{numbered}data: {data}\n\n".encode()


async def _cancel_after(over: trio.Event, scope: trio.CancelScope) -> None:
    await over.wait()
    scope.cancel()
