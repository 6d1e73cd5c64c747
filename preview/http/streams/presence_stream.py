"""Presence and comments of one preview as Server-Sent Events."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf

import trio

from preview.core.clock import utc_now
from preview.http.core.piecewise import PiecewiseBody
from preview.http.streams.log_streams import Waits
from preview.together import Audience, Viewer

_COMMENT = b":\n\n"
# A reader gets the next news at the earliest this much later: many people who move at once are one piece.
_PAUSE_S = 0.2


class PresenceBody(PiecewiseBody):
    """The body of one stream: all viewers first and after each change, and comments as they come.

    The stream of a removed guest says so, and ends.

    Args:
        audience: The people at the preview.
        viewer_id: The reader.
        over: Set at the preview's end.
        shown: Returns the viewers as JSON.
        waits: Wakes the stream when the service shuts down.
        expires_at: End of the reader's access.
        keep_alive_s: Seconds of silence before a comment is sent.
    """

    def __init__(
        self,
        audience: Audience,
        viewer_id: str,
        over: trio.Event,
        *,
        shown: Callable[[Sequence[Viewer]], str],
        waits: Waits,
        expires_at: datetime,
        keep_alive_s: float,
    ) -> None:
        self._audience = audience
        self._viewer_id = viewer_id
        self._preview_over = over
        self._shown = shown
        self._waits = waits
        self._expires_at = expires_at
        self._keep_alive_s = keep_alive_s
        # No version yet: the first piece has all viewers. Comments are read elsewhere first.
        self._version = -1
        self._news = audience.last_news
        self._next_at = -inf

    async def __anext__(self) -> bytes:
        """Return the next piece. Cancellation: no state changes."""
        if self._over:
            raise StopAsyncIteration
        if self._is_idle():
            with self._waits.until(min(self._keep_alive_s, self._remaining_s)):
                await self._until_changed()
        if not self._is_idle() and (pause_s := self._next_at - trio.current_time()) > 0:
            with self._waits.until(pause_s):
                await self._preview_over.wait()
        await trio.lowlevel.checkpoint()
        if self._viewer_id in self._audience.removed:
            return self._last("removed")
        if self._preview_over.is_set():
            return self._last("end")
        if self._remaining_s <= 0:
            return self._last("expired")
        if self._waits.draining:
            self._over = True
            return _COMMENT
        self._next_at = trio.current_time() + _PAUSE_S
        return self._changes() or _COMMENT

    def _is_idle(self) -> bool:
        audience = self._audience
        is_same = audience.version == self._version and audience.last_news == self._news
        return is_same and self._viewer_id not in audience.removed and not self._preview_over.is_set()

    async def _until_changed(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_after, self._preview_over, nursery.cancel_scope)
            await self._audience.wait()
            nursery.cancel_scope.cancel()

    def _changes(self) -> bytes:
        audience, events = self._audience, []
        if audience.version != self._version:
            self._version = audience.version
            events.append(_event("viewers", audience.shown(self._shown)))
        news = audience.news_after(self._news)
        self._news = audience.last_news
        # A reader that has missed some reads all comments again.
        events += [_event("reload", "{}")] if news is None else [_event(one.name, one.data) for one in news]
        return "".join(events).encode()

    @property
    def _remaining_s(self) -> float:
        return (self._expires_at - utc_now()).total_seconds()

    def _last(self, event: str) -> bytes:
        self._over = True
        return _event(event, json.dumps({})).encode()


async def _cancel_after(over: trio.Event, scope: trio.CancelScope) -> None:
    await over.wait()
    scope.cancel()


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
