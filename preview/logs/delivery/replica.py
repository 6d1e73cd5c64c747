"""The log of a preview that another node runs, fed from one stream of that node, for all readers on this one."""

from __future__ import annotations

from typing import Self

import trio

from preview.logs.delivery.backlog import Backlog, Broadcast, Cursor
from preview.logs.delivery.log_pages import LogPager
from preview.logs.delivery.subscription import Subscription
from preview.logs.model.encode import Received
from preview.logs.model.events import End, Gap, StatusChange
from preview.logs.model.wire import NotALog
from preview.logs.storage.store import LogStore

# The owner stores lines within a fraction of a second.
_LOOK_S = 0.1


class LogReplica:
    """A ``Feed`` for cursors, subscriptions and groups, like ``PreviewLog``. Numbers are those of the owner.

    Invariant: the backlog has the lines from ``backlog.first_seq`` to ``last_seq``. Earlier ones are in the database,
    or lost.

    Args:
        preview_id: The preview.
        store: Reads lines that are not in memory.
        max_lines: Most lines in memory.
        max_bytes: Most bytes in memory.
        channel_batches: Most batches that wait for a subscriber.

    Attributes:
        backlog, broadcast, last_seq, status, end: See ``PreviewLog``.
        is_lost: No more events follow: the owner is not found.
    """

    def __init__(
        self, preview_id: str, store: LogStore, *, max_lines: int, max_bytes: int, channel_batches: int
    ) -> None:
        self.preview_id = preview_id
        self.store = store
        self.backlog = Backlog(max_lines=max_lines, max_bytes=max_bytes)
        self.broadcast = Broadcast()
        self.last_seq = 0
        self.status: StatusChange | None = None
        self.end: End | None = None
        self.is_lost = False
        self._channel_batches = channel_batches
        self._channel_bytes = max_bytes
        self._subscriptions: set[Subscription] = set()
        # Lines up to here are known to be in the database.
        self._stored_seq = 0

    def begin(self, first_seq: int) -> None:
        """Begin at this number; earlier lines are read from the database. Call before the first event."""
        self.last_seq = first_seq - 1
        self.backlog.restart(first_seq)

    def take(self, event: Received) -> None:
        """Take the next event of the owner. Lines that are known already are dropped. Never waits.

        Raises:
            NotALog: The numbers leave something out.
        """
        if isinstance(event, StatusChange):
            self.status = event
        elif isinstance(event, End):
            self.end = event
        elif event.last_seq <= self.last_seq:
            return
        elif isinstance(event, Gap):
            if event.first_seq > self.last_seq + 1:
                raise NotALog(f"a gap at line {event.first_seq} after line {self.last_seq}")
            event = Gap(self.last_seq + 1, event.last_seq, event.reason)
            self.last_seq = event.last_seq
            # The owner has looked for these lines in the database.
            self._stored_seq = max(self._stored_seq, self.last_seq)
            self.backlog.restart(self.last_seq + 1)
        else:
            if event.first_seq > self.last_seq + 1:
                raise NotALog(f"line {event.first_seq} after line {self.last_seq}")
            event = event.after(self.last_seq)
            self.last_seq = event.last_seq
            self.backlog.append(event)
        self.broadcast.send(event)

    def lose(self) -> None:
        """End all subscriptions without an end of the log: their clients connect again."""
        self.is_lost = True
        for one in list(self._subscriptions):
            one.cut()

    def subscribe(self, *, after: int | None = None, tail: int | None = None) -> Subscription:
        """Return a subscription, as of ``PreviewLog``."""
        return _Subscription(
            self,
            self.cursor(after=after, tail=tail),
            channel_batches=self._channel_batches,
            channel_bytes=self._channel_bytes,
        )

    def cursor(self, *, after: int | None = None, tail: int | None = None) -> Cursor:
        """Return a reader's cursor, as of ``PreviewLog``."""
        start = 1
        if after is not None:
            start = after + 1 if 0 <= after <= self.last_seq else 1
        elif tail is not None:
            start = max(1, self.last_seq - tail + 1)
        return Cursor(self, start=start)

    def pager(self) -> LogPager:
        """Return a pager for the log."""
        return LogPager(self.store, self.preview_id, live=self, last_seq=None, settle=self.settle)

    async def settle(self, seq: int | None) -> None:
        """Wait until the owner has stored the lines up to ``seq``. The caller sets a deadline.

        Cancellation: nothing changes.
        """
        wanted = self.backlog.first_seq - 1 if seq is None else seq
        while self._stored_seq < wanted:
            _, self._stored_seq = await self.store.bounds(self.preview_id)
            if self._stored_seq < wanted:
                await trio.sleep(_LOOK_S)


class _Subscription(Subscription):
    """A subscription that ends when the replica is lost."""

    _feed: LogReplica

    def __enter__(self) -> Self:
        self._feed._subscriptions.add(self)  # noqa: SLF001  our own class
        return super().__enter__()

    def __exit__(self, *about: object) -> None:
        self._feed._subscriptions.discard(self)  # noqa: SLF001  our own class
        super().__exit__(*about)

    async def receive(self) -> list[Received]:
        """See ``Subscription``. Raises ``trio.EndOfChannel`` also once the replica is lost."""
        if self._feed.is_lost:
            await trio.lowlevel.checkpoint()
            raise trio.EndOfChannel
        return await super().receive()
