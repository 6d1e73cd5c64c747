"""One preview's events to many readers who want the same bytes: encoded once, written by one task.

Nobody else is woken for an event: not the readers' own tasks, which wait for the end of their connections.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter, thread_time
from typing import Protocol

import trio

from preview.logs.delivery.backlog import Cursor, Feed, Position
from preview.logs.delivery.history import SharedPages
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received, StreamEncoder
from preview.logs.model.events import End, StatusChange

# A chunk of lines holds about so much (more, once they are encoded); the rest is the next one's.
_CHUNK_BYTES = 256 * 1024
# After so much writing all other tasks have their turn.
_TURN_S = 0.001
# From one chunk to the next. A line that comes after some silence goes out at once; lines that come close together are
# one chunk, because a write costs 5 µs however much it carries. What a child prints was gathered by its reader already.
_LEAST_INTERVAL_S = 0.001
# With many readers a round of writing takes longer than that. Then half a processor is spent on it …
_LEAST_REST_PER_WORK = 1.0
# … and less, where a round takes longer than this: the more readers there are, the more a common chunk is worth …
_LONG_ROUND_S = 0.0025
# … as long as rounds are not further apart than this …
_APART_S = 0.025
# … unless lines would wait too long even so.
_LONGEST_REST_S = 0.1


class Member(Protocol):
    """A reader."""

    cursor: Cursor

    def put(self, chunk: bytes) -> bool:
        """Write the chunk; return whether all was accepted. Otherwise keep the rest and leave the group."""

    def wake(self) -> None:
        """Wake the member: it leaves the group and continues alone."""


class FanOut:
    """Readers who stand at the same place in the log, and the task that takes them further.

    A reader who does not take a whole chunk leaves, and comes back when it has caught up by number (``Cursor``).
    Leaving and joining happen without an await, so nothing can fall between.

    Invariant: ``position`` and the pending events together are the log up to its end, unless too much was pending: then
    all members leave at the next round.

    Args:
        feed: The log. The opener adds it to the log's listeners in the same moment.
        encoder: For these readers.
        frame: Makes of a chunk what goes to the readers; the second argument says whether it is the last one.
        keep_alive_s: Seconds of silence until something is said.
        pending_bytes: The most that may wait for the task.

    Attributes:
        last_seq, status, end: Where the members stand, once the round that is under way is over (a ``Front``).
        moved: Set at the next round.
        has_failed: Nothing is sent any more.
        watchers: How many readers there are, those that are catching up too: ``came`` and ``went`` count them.
        pages: Of the database, for those that are catching up; none is kept once all have.
    """

    def __init__(
        self,
        feed: Feed,
        encoder: StreamEncoder,
        frame: Callable[[bytes, bool], bytes],
        *,
        keep_alive_s: float,
        pending_bytes: int,
    ) -> None:
        self._feed = feed
        self._encoder = encoder
        self._frame = frame
        self._keep_alive_s = keep_alive_s
        self._pending_limit = pending_bytes
        self.last_seq, self.status, self.end = feed.last_seq, feed.status, feed.end
        self.moved = trio.Event()
        self.has_failed = False
        self.watchers = 0
        self.pages = SharedPages()
        # Where a member stands that the round under way has not reached yet.
        self._before = Position(self.last_seq, self.status, self.end)
        # Each with the last round that has reached it.
        self._live: dict[Member, int] = {}
        self._round = 0
        self._pending: list[Received] = []
        self._pending_bytes = 0
        self._overflown = False
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        # When the members were last sent anything.
        self._spoke_at = 0.0

    @property
    def live(self) -> int:
        """Number of readers that have caught up."""
        return len(self._live)

    def offer(self, event: Received) -> None:
        """Offer an event; called by the broadcast, never waits."""
        self._wake.set()
        if self._overflown:
            return
        size = event.held_bytes if isinstance(event, Batch) else 0
        if self._pending and self._pending_bytes + size > self._pending_limit:
            self._overflown = True
            self._pending.clear()
            return
        self._pending.append(event)
        self._pending_bytes += size

    def came(self) -> None:
        """Count a new reader, which has to catch up first."""
        self.watchers += 1

    def went(self) -> None:
        """Count a reader that is gone for good, and has left before."""
        self.watchers -= 1
        self._forget_pages()

    def join(self, member: Member) -> bool:
        """Join the group if the member is where the others are, and that is not the end."""
        if self.end is not None or not member.cursor.stands_at(self):
            return False
        self._live[member] = self._round
        self._forget_pages()
        return True

    def leave(self, member: Member) -> None:
        """Remove the member; its cursor stays in place. Does nothing if it has left already."""
        reached = self._live.pop(member, None)
        if reached is not None:
            member.cursor.jump_to(self if reached == self._round else self._before)

    async def run(self) -> None:
        """Write new chunks, until it is closed. One task.

        Cancellation: a round that is under way is broken off; what was not written is not.
        """
        self._spoke_at = trio.current_time()
        with self._scope:
            while True:
                with trio.move_on_after(max(0, self._spoke_at + self._keep_alive_s - trio.current_time())):
                    await self._wake.wait()
                if self._wake.is_set():
                    await self._rounds()
                else:
                    self._move_to(Position(self.last_seq, self.status, self.end))
                    await self._write(self._encoder.idle())

    def close(self) -> None:
        """Nobody is left: the task ends."""
        self._scope.cancel()

    def give_up(self) -> None:
        """Release the members: the task has failed."""
        self.has_failed = True
        self.moved.set()
        for member in list(self._live):
            self.leave(member)
            member.wake()

    def _forget_pages(self) -> None:
        """Nobody who is behind is left to want them."""
        if len(self._live) >= self.watchers:
            self.pages.clear()

    async def _rounds(self) -> None:
        """Take the members to the end of the log."""
        while self._pending or self._overflown:
            # The processor's time, not the clock's: on a busy machine lines need not wait even longer.
            begun, begun_work = perf_counter(), thread_time()
            if self._overflown:
                self._detach_all()
            else:
                chunk = self._encoder.encode(self._take())
                # Lines that nobody here wants to see are silence.
                if not chunk and trio.current_time() - self._spoke_at >= self._keep_alive_s:
                    chunk = self._encoder.idle()
                if chunk:
                    await self._write(chunk)
            took_s, worked_s = perf_counter() - begun, thread_time() - begun_work
            if self._pending_bytes < _CHUNK_BYTES:
                await trio.sleep(max(_LEAST_INTERVAL_S - took_s, _rest_s(worked_s)))
            else:
                await trio.lowlevel.checkpoint()
        self._wake = trio.Event()

    def _take(self) -> list[Received]:
        """Take the events of one chunk, and advance the members' position."""
        count = size = 0
        for event in self._pending:
            count += 1
            size += event.held_bytes if isinstance(event, Batch) else 0
            if size >= _CHUNK_BYTES:
                break
        events = self._pending[:count]
        del self._pending[:count]
        self._pending_bytes -= size
        last_seq, status, end = self.last_seq, self.status, self.end
        for event in events:
            if isinstance(event, StatusChange):
                status = event
            elif isinstance(event, End):
                end = event
            else:
                last_seq = event.last_seq
        self._move_to(Position(last_seq, status, end))
        return events

    def _detach_all(self) -> None:
        """Too much was pending: everybody catches up by number."""
        members = list(self._live)
        for member in members:
            self.leave(member)
        self._overflown, self._pending_bytes = False, 0
        self._move_to(Position(self._feed.last_seq, self._feed.status, self._feed.end))
        for member in members:
            member.wake()

    def _move_to(self, position: Position) -> None:
        self._before = Position(self.last_seq, self.status, self.end)
        self.last_seq, self.status, self.end = position
        self._round += 1
        self.moved.set()
        self.moved = trio.Event()

    async def _write(self, chunk: bytes) -> None:
        """One round: the chunk to each member that was there when it began."""
        is_last = self.end is not None
        framed = self._frame(chunk, is_last)
        self._spoke_at = trio.current_time()
        turn_ends = perf_counter() + _TURN_S
        for member in list(self._live):
            # It has left; or it has come back meanwhile, and had this chunk on its own.
            if self._live.get(member, self._round) == self._round:
                continue
            self._live[member] = self._round
            if not member.put(framed) or is_last:
                self.leave(member)
                member.wake()
            if perf_counter() > turn_ends:
                await trio.lowlevel.checkpoint()
                turn_ends = perf_counter() + _TURN_S


def _rest_s(worked_s: float) -> float:
    """From a round of so much work to the next one."""
    further_s = min(worked_s * worked_s / _LONG_ROUND_S, _APART_S - worked_s)
    return min(max(_LEAST_REST_PER_WORK * worked_s, further_s), _LONGEST_REST_S)
