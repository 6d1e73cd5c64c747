"""How far somebody has read a preview's log, and how the rest is read by number."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import trio

from preview.logs.delivery.backlog import Backlog
from preview.logs.delivery.broadcast import Broadcast
from preview.logs.delivery.shared_pages import SharedPages
from preview.logs.model.encode import Received
from preview.logs.model.events import End, StatusChange
from preview.logs.storage.pages import read_events, settled
from preview.logs.storage.store import LogStore

# Replayed from memory at a time: one chunk to send, small beside a socket's patience.
_REPLAY_BYTES = 1024 * 1024


class Front(Protocol):
    """Up to where one can catch up: the end of the log, or the place where a group of readers stands."""

    @property
    def last_seq(self) -> int:
        """Number of the last line up to there. Invariant: a batch ends with it."""

    @property
    def status(self) -> StatusChange | None:
        """The state there."""

    @property
    def end(self) -> End | None:
        """How the preview ended, if that was told there."""


class Feed(Front, Protocol):
    """What a cursor needs of its preview's log."""

    preview_id: str
    backlog: Backlog
    broadcast: Broadcast
    store: LogStore

    async def settle(self, seq: int) -> None:
        """Wait until no line up to ``seq`` is on its way to the database.

        Cancellation: nothing changes.
        """


class Position(NamedTuple):
    """A front that stays where it is."""

    last_seq: int
    status: StatusChange | None
    end: End | None


class Cursor:
    """One reader's place in a log.

    Args:
        feed: The log.
        start: Number of the first line wanted.

    Attributes:
        next_seq: Number of the first line not yet given out.
        ended: ``End`` was given out: nothing follows.
    """

    __slots__ = ("_feed", "_status", "ended", "next_seq")

    def __init__(self, feed: Feed, *, start: int) -> None:
        self._feed = feed
        self.next_seq = start
        self.ended = False
        self._status: StatusChange | None = None

    def stands_at(self, front: Front) -> bool:
        """Whether all up to there was given out, and nothing behind it."""
        return (
            self.next_seq == front.last_seq + 1
            and (front.status is None or front.status is self._status)
            and (front.end is None or self.ended)
        )

    def jump_to(self, front: Front) -> None:
        """All up to there was given out in another way."""
        self.next_seq = front.last_seq + 1
        self._status = front.status
        self.ended = self.ended or front.end is not None

    def note(self, event: Received) -> None:
        """This is about to be given out."""
        if isinstance(event, StatusChange):
            self._status = event
        elif isinstance(event, End):
            self.ended = True
        else:
            self.next_seq = event.last_seq + 1

    async def catch_up(self, front: Front, pages: SharedPages | None = None) -> list[Received]:
        """The next part of what lies between here and ``front``; all of it was given out once that stands there.

        Args:
            front: Where to stop.
            pages: Those of the others who are behind.

        Raises:
            DatabaseUnavailable: Lines that have left memory cannot be read now; a later call goes on at the same line.

        Cancellation: nothing is lost; a later call goes on at the same line.
        """
        feed = self._feed
        events: list[Received] = []
        if self.next_seq < feed.backlog.first_seq:
            below = min(feed.backlog.first_seq, front.last_seq + 1)
            await settled(feed.settle(below - 1), feed.preview_id)
            read = read_events if pages is None else pages.read
            events += await read(feed.store, feed.preview_id, expected=self.next_seq, below=below)
        else:
            await trio.lowlevel.checkpoint()
            if self.next_seq < feed.backlog.first_seq:
                return []
            found = feed.backlog.after(self.next_seq - 1, max_bytes=_REPLAY_BYTES)
            events += [batch for batch in found if batch.first_seq <= front.last_seq]
        # No await from here on.
        if front.status is not None and front.status is not self._status:
            events.insert(0, front.status)
        for event in events:
            self.note(event)
        if self.next_seq > front.last_seq and front.end is not None:
            events.append(front.end)
            self.ended = True
        return events
