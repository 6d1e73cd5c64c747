"""Delivery of one preview's events to many readers of the same format: encoded once, written by one task.

An event wakes only that task. The readers' own tasks just wait for the end of their connections.
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

# Approximate size of a chunk of lines before encoding; further lines go into the next chunk.
_CHUNK_BYTES = 256 * 1024
# After this much time of writing, all other tasks get a turn.
_TURN_S = 0.001
# Minimum time between two chunks. A line after a pause is sent at once. Lines in quick succession share a chunk: a
# write costs 5 µs whatever its size. The reader of the process's output has already coalesced lines.
_LEAST_INTERVAL_S = 0.001
# With many readers a round of writing takes longer than that. Then the task rests as long as it works …
_LEAST_REST_PER_WORK = 1.0
# … and longer, if a round takes more than this time: the more readers, the more a larger shared chunk saves …
_LONG_ROUND_S = 0.0025
# … as long as rounds start at most this far apart …
_APART_S = 0.025
# … and in no case longer than this.
_LONGEST_REST_S = 0.1


class Member(Protocol):
    """A reader of a group."""

    cursor: Cursor

    def put(self, chunk: bytes) -> bool:
        """Write the chunk; return True if all was written. Otherwise keep the rest and leave the group."""

    def wake(self) -> None:
        """Wake the reader's task: the reader has left the group and continues alone."""


class FanOut:
    """A group of readers at the same position in the log, and the task that writes to them.

    A reader that cannot take a whole chunk leaves the group, and joins again after it has caught up (``Cursor``).
    Leaving and joining have no await, so no event can be missed.

    Invariant: the members' position plus the pending events is the end of the log. If too much was pending, all
    members leave at the next round instead.

    Args:
        feed: The log. The opener adds this group to the log's listeners without an await in between.
        encoder: Encodes events in the readers' format.
        frame: Frames a chunk for the connection; the second argument is True for the last chunk.
        keep_alive_s: Seconds of silence before a keep-alive is sent.
        pending_bytes: Maximum size of pending events.

    Attributes:
        last_seq, status, end: Position of the members after the current round (a ``Front``).
        moved: Set at the next round.
        has_failed: The task has failed; nothing more is sent.
        watchers: Number of readers, including those that catch up; ``came`` and ``went`` count them.
        pages: Database pages for readers that catch up; cleared once all have caught up.
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
        # Position of a member that the current round has not reached yet.
        self._before = Position(self.last_seq, self.status, self.end)
        # Members, each with the number of the last round that has reached it.
        self._live: dict[Member, int] = {}
        self._round = 0
        self._pending: list[Received] = []
        self._pending_bytes = 0
        self._overflown = False
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        # Time of the last write to the members.
        self._spoke_at = 0.0

    @property
    def live(self) -> int:
        """Number of readers that have caught up."""
        return len(self._live)

    def offer(self, event: Received) -> None:
        """Queue an event. Called by the broadcast; never waits."""
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

    def attach(self) -> None:
        """Count a new reader, which catches up first."""
        self.watchers += 1

    def detach(self) -> None:
        """Uncount a reader that is gone for good; it must have left the group."""
        self.watchers -= 1
        self._forget_pages()

    def join(self, member: Member) -> bool:
        """Add the member if it is at the group's position and the log has not ended; return True if added."""
        if self.end is not None or not member.cursor.stands_at(self):
            return False
        self._live[member] = self._round
        self._forget_pages()
        return True

    def leave(self, member: Member) -> None:
        """Remove the member and set its cursor. Does nothing if the member has already left."""
        reached = self._live.pop(member, None)
        if reached is not None:
            member.cursor.jump_to(self if reached == self._round else self._before)

    async def run(self) -> None:
        """Write new chunks until the group is closed. One task.

        Cancellation: the current round stops; the chunks left are not written.
        """
        self._spoke_at = trio.current_time()
        with self._scope:
            while True:
                with trio.move_on_after(max(0, self._spoke_at + self._keep_alive_s - trio.current_time())):
                    await self._wake.wait()
                if self.has_failed:
                    return
                if self._wake.is_set():
                    await self._rounds()
                else:
                    self._move_to(Position(self.last_seq, self.status, self.end))
                    await self._write(self._encoder.idle())

    def close(self) -> None:
        """End the task, as no reader is left."""
        self._scope.cancel()

    def give_up(self) -> None:
        """Release the members after the task has failed."""
        self.has_failed = True
        self.moved.set()
        for member in list(self._live):
            self.leave(member)
            member.wake()

    def _forget_pages(self) -> None:
        """Clear the pages if no reader is catching up."""
        if len(self._live) >= self.watchers:
            self.pages.clear()

    async def _rounds(self) -> None:
        """Write all pending events to the members."""
        while self._pending or self._overflown:
            # CPU time, not wall time: on a busy machine lines need not wait even longer.
            begun, begun_work = perf_counter(), thread_time()
            if self._overflown:
                self._detach_all()
            else:
                chunk = self._encoder.encode(self._take())
                if self._encoder.has_failed:
                    self.give_up()
                    return
                # If the readers' filter drops all lines, the connection is silent and needs a keep-alive.
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
        """Take the events of one chunk and advance the members' position."""
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
        """Release all members after an overflow: each catches up by line number."""
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
        """Write the chunk to each member that was in the group when the round started."""
        is_last = self.end is not None
        framed = self._frame(chunk, is_last)
        self._spoke_at = trio.current_time()
        turn_ends = perf_counter() + _TURN_S
        for member in list(self._live):
            # Skip a member that has left, or that has left and joined again and so already has this chunk.
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
    """Return the pause in seconds after a round of that much CPU time."""
    further_s = min(worked_s * worked_s / _LONG_ROUND_S, _APART_S - worked_s)
    return min(max(_LEAST_REST_PER_WORK * worked_s, further_s), _LONGEST_REST_S)
