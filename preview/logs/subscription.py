"""One subscriber's view of a preview's log: each line once and in order, or an explicit gap."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import trio

from preview.logs.backlog import Backlog
from preview.logs.batch import Batch
from preview.logs.broadcast import Broadcast
from preview.logs.encode import Received
from preview.logs.events import End, StatusChange
from preview.logs.pages import read_events, settled
from preview.logs.store import LogStore

__all__ = ["Feed", "Subscription"]

# Replayed from memory by one receive(): one chunk to send, small beside a socket's patience.
_REPLAY_BYTES = 1024 * 1024


class Feed(Protocol):
    """What a subscription needs of its preview's log."""

    preview_id: str
    backlog: Backlog
    broadcast: Broadcast
    store: LogStore

    @property
    def last_seq(self) -> int:
        """Number of the newest line."""

    @property
    def status(self) -> StatusChange | None:
        """The present state."""

    @property
    def end(self) -> End | None:
        """How it ended."""

    async def settle(self, seq: int) -> None:
        """Wait until no line up to ``seq`` is on its way to the database.

        Cancellation: nothing changes.
        """


class Subscription:
    """Used as ``with log.subscribe(...) as subscription:``; one task receives.

    It is *behind* at first, and again whenever its channel was full: then ``receive()`` replays by number, from the
    backlog or the database. Caught up, it is *live*: events come through its channel. A switch between the two happens
    without an await, so nothing can fall between.

    Invariant: ``_next`` is the number of the first line not yet given out; live, the channel's lines begin with it.
    """

    def __init__(self, feed: Feed, *, start: int, channel_batches: int, channel_bytes: int) -> None:
        self._feed = feed
        self._next = start
        self._behind = True
        self._ended = False
        self._status: StatusChange | None = None
        self._send, self._receive = trio.open_memory_channel[Received](channel_batches)
        # What waits in the channel may not outgrow the backlog: a stalled subscriber must not keep alive what the
        # backlog has let go.
        self._channel_bytes = channel_bytes
        self._waiting_bytes = 0

    def __enter__(self) -> Self:
        self._feed.broadcast.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._feed.broadcast.remove(self)
        self._ended = True
        self._send.close()
        self._receive.close()

    @property
    def is_behind(self) -> bool:
        """Whether the next ``receive()`` replays."""
        return self._behind

    def offer(self, event: Received) -> None:
        """Called by the broadcast for each event; never waits. A full channel makes the subscription fall behind."""
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
        """Everything pending, in order, at least one event: waits until there is one.

        Raises:
            trio.EndOfChannel: ``End`` was given, or the context was left.
            DatabaseUnavailable: Lines that have left memory cannot be read now; a later call goes on at the same line.

        Cancellation: nothing is lost; a later call goes on at the same line.
        """
        if self._ended:
            await trio.lowlevel.checkpoint()
            raise trio.EndOfChannel
        while self._behind:
            events = await self._catch_up()
            if events:
                return events
        return self._given([await self._receive.receive(), *self._pending()])

    async def _catch_up(self) -> list[Received]:
        """The next part of what was missed; the subscription is live again once nothing is left."""
        feed = self._feed
        events: list[Received] = []
        if self._next < feed.backlog.first_seq:
            first_held = feed.backlog.first_seq
            await settled(feed.settle(first_held - 1), feed.preview_id)
            events += await read_events(feed.store, feed.preview_id, expected=self._next, below=first_held)
        else:
            await trio.lowlevel.checkpoint()
            if self._next < feed.backlog.first_seq:
                return []
            events += feed.backlog.after(self._next - 1, max_bytes=_REPLAY_BYTES)
        # No await from here on.
        if feed.status is not None and feed.status is not self._status:
            events.insert(0, feed.status)
        given = self._given(events)
        if self._next > feed.last_seq:
            self._behind = False
            if feed.end is not None:
                given += self._given([feed.end])
        return given

    def _given(self, events: list[Received]) -> list[Received]:
        """Note what is about to be given out."""
        for event in events:
            if isinstance(event, StatusChange):
                self._status = event
            elif isinstance(event, End):
                self._ended = True
            else:
                self._next = event.last_seq + 1
                if isinstance(event, Batch):
                    self._waiting_bytes = max(0, self._waiting_bytes - event.held_bytes)
        return events

    def _pending(self) -> list[Received]:
        """What the channel holds now, taken out."""
        return [self._receive.receive_nowait() for _ in range(self._receive.statistics().current_buffer_used)]

    def _fall_behind(self) -> None:
        """Let go of what waits: it is replayed by number. Only the newest of several changes of state is kept."""
        self._pending()
        self._waiting_bytes = 0
        self._behind = True
