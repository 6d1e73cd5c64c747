"""One subscriber's view of a preview's log: each line once and in order, or an explicit gap."""

from __future__ import annotations

from typing import Self

import trio

from preview.logs.delivery.backlog import Cursor, Feed
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received


class Subscription:
    """One subscriber of a log: ``with log.subscribe(...) as subscription:``; one task receives.

    A subscription starts *behind*, and falls behind again whenever its channel is full. Then ``receive()`` replays
    lines by number, from the backlog or the database. Once it has caught up it is *live*: events come through its
    channel. Switching between the two states has no await, so no event can be missed.

    Invariant: in the live state, the channel's first line is the cursor's next line.
    """

    watchers = 1

    def __init__(self, feed: Feed, cursor: Cursor, *, channel_batches: int, channel_bytes: int) -> None:
        self._feed = feed
        self._cursor = cursor
        self._behind = True
        self._send, self._receive = trio.open_memory_channel[Received](channel_batches)
        # Limit of the bytes that wait in the channel: a stalled subscriber must not keep batches alive that the backlog
        # has dropped.
        self._channel_bytes = channel_bytes
        self._waiting_bytes = 0

    def __enter__(self) -> Self:
        self._feed.broadcast.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.broadcast.remove(self)
        self._cursor.ended = True
        self._send.close()
        self._receive.close()

    @property
    def next_seq(self) -> int:
        """Number of the first line that ``receive`` has not returned."""
        return self._cursor.next_seq

    def cut(self) -> None:
        """End the subscription: what waits is delivered, then ``receive()`` raises ``trio.EndOfChannel``."""
        self._send.close()

    def offer(self, event: Received) -> None:
        """Queue an event. Called by the broadcast; never waits. A full channel makes the subscription fall behind."""
        if self._behind:
            return
        size = event.held_bytes if isinstance(event, Batch) else 0
        if self._waiting_bytes + size > self._channel_bytes and self._waiting_bytes:
            self._fall_behind()
            return
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            self._fall_behind()
        else:
            self._waiting_bytes += size

    async def receive(self) -> list[Received]:
        """Return all pending events in order; wait until there is at least one.

        Raises:
            trio.EndOfChannel: ``End`` was delivered, or the context was left.
            DatabaseUnavailable: Older lines cannot be read now; a later call continues at the same line.

        Cancellation: nothing is lost; a later call continues at the same line.
        """
        if self._cursor.ended:
            await trio.lowlevel.checkpoint()
            raise trio.EndOfChannel
        while self._behind:
            events = await self._catch_up()
            if events:
                return events
        return self._given([await self._receive.receive(), *self._pending()])

    async def _catch_up(self) -> list[Received]:
        """Return the next missed events; once none is left, the subscription is live again."""
        events = await self._cursor.catch_up(self._feed)
        self._behind = self._cursor.next_seq <= self._feed.last_seq
        return events

    def _given(self, events: list[Received]) -> list[Received]:
        """Record events that are about to be delivered."""
        for event in events:
            self._cursor.note(event)
            if isinstance(event, Batch):
                self._waiting_bytes = max(0, self._waiting_bytes - event.held_bytes)
        return events

    def _pending(self) -> list[Received]:
        """Take the pending events out of the channel."""
        return [self._receive.receive_nowait() for _ in range(self._receive.statistics().current_buffer_used)]

    def _fall_behind(self) -> None:
        """Drop waiting events. They are replayed by number later; of several state changes, only the newest."""
        self._pending()
        self._waiting_bytes = 0
        self._behind = True
