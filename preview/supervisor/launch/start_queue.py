"""FIFO limit of concurrent CPU-heavy starts.

Fifty starts that share two processors all come up at the end; a few at a time the first are there at once, and the last
one is earlier too, as less is fetched from memory again and again (``benchmarks/launch.py --many 50``).
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import trio

from preview.environments import EnvironmentCache
from preview.environments.node import NodeEnvironmentCache
from preview.generations import GenerationSource
from preview.logs import LogWriter
from preview.runtime import Runtime
from preview.runtime.cgroups import MigrationLockWarmer
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.supervisor.launch.start_history import StartHistory
from preview.supervisor.limits.watch_disk import Watchers

# A start works on several things at once (namespaces, files, its import): two for each processor keep all of them busy.
_EACH_PROCESSOR = 2
# A start that has not ended by then waits for something else than a processor, most likely; others do not wait for it.
_LONGEST_S = 1.0


class StartSlot:
    """One of those that are under way. ``give_back`` may be called again."""

    def __init__(self, give_back: Callable[[StartSlot], None]) -> None:
        self._give_back = give_back

    def give_back(self) -> None:
        """Let the next one begin."""
        self._give_back(self)


class _Waiter:
    """One who waits; woken when it may be its turn."""

    def __init__(self) -> None:
        self.woken = trio.Event()


class StartQueue:
    """FIFO queue with a limit of concurrent starts; a slow one blocks no other.

    Args:
        most: How many; None are two for each processor that this process may use.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most or _EACH_PROCESSOR * len(os.sched_getaffinity(0))
        # Until when each counts; the one that ends first comes first.
        self._held: dict[StartSlot, float] = {}
        self._waiting: deque[_Waiter] = deque()
        self._idle = trio.Event()

    @asynccontextmanager
    async def open_turn(self, waits: Callable[[int], None] | None = None) -> AsyncIterator[StartSlot]:
        """Wait for a turn, which lasts until it is given back, a second has passed, or this is left.

        Args:
            waits: Called with the number of starts before this one, unless it may start at once.

        Cancellation: the turn is the next one's.
        """
        await self._wait(waits)
        with self._begin() as turn:
            # There may be space for the next one, too.
            self._wake_first()
            yield turn

    @contextmanager
    def open_turn_now(self) -> Iterator[StartSlot | None]:
        """Provide a slot like ``open_turn``, if it is free at once."""
        if self._waiting or not self._has_room():
            yield None
            return
        with self._begin() as turn:
            yield turn

    @contextmanager
    def _begin(self) -> Iterator[StartSlot]:
        turn = StartSlot(self._end)
        self._held[turn] = trio.current_time() + _LONGEST_S
        try:
            yield turn
        finally:
            self._end(turn)

    async def wait_idle(self) -> None:
        """Wait until nobody has a turn, or waits for one. Cancellation: nothing changes."""
        while self._held or self._waiting:
            self._idle = trio.Event()
            # A slow one has given its slot back already.
            with trio.move_on_after(_LONGEST_S):
                await self._idle.wait()
            self._has_room()
        await trio.lowlevel.checkpoint()

    async def _wait(self, waits: Callable[[int], None] | None) -> None:
        """Wait for a slot. Cancellation: the place in the queue is released."""
        if not self._waiting and self._has_room():
            await trio.lowlevel.checkpoint()
            if not self._waiting and self._has_room():
                return
        if waits is not None:
            waits(len(self._held) + len(self._waiting))
        waiter = _Waiter()
        self._waiting.append(waiter)
        try:
            while self._waiting[0] is not waiter or not self._has_room():
                waiter.woken = trio.Event()
                # Only the first one looks at the clock.
                ends_at = next(iter(self._held.values())) if self._waiting[0] is waiter else math.inf
                with trio.move_on_at(ends_at):
                    await waiter.woken.wait()
        finally:
            self._waiting.remove(waiter)
            self._wake_first()

    def _has_room(self) -> bool:
        now = trio.current_time()
        for turn in [turn for turn, ends_at in self._held.items() if ends_at <= now]:
            del self._held[turn]
        return len(self._held) < self._most

    def _end(self, turn: StartSlot) -> None:
        if self._held.pop(turn, None) is not None:
            self._wake_first()

    def _wake_first(self) -> None:
        if self._waiting:
            self._waiting[0].woken.set()
        elif not self._held:
            self._idle.set()


@dataclass(frozen=True, slots=True)
class SupervisorContext:
    """Built once, by ``open_service``.

    Attributes:
        environments: Python's.
        node_environments: Node's.
        pending: Rows of ended previews that the database did not take, by id; the cleanup stores them. Bounded by
            how many previews can end while the database is away.
        disk_watchers: All that watch a preview's disk.
        studies: What was read of projects.
        known: What generations are started in.
        reading: Who may study a project now: that takes a processor.
        starting: Who may start its processes now.
        door: To the control groups, where the machine has them.
    """

    settings: Settings
    source: GenerationSource
    environments: EnvironmentCache
    node_environments: NodeEnvironmentCache
    runtime: Runtime
    store: PreviewStore
    writer: LogWriter
    analyses: AnalysisCache
    pending: dict[str, PreviewRecord] = field(default_factory=dict)
    disk_watchers: Watchers = field(default_factory=Watchers)
    known: StartHistory = field(default_factory=StartHistory)
    reading: StartQueue = field(default_factory=StartQueue)
    starting: StartQueue = field(default_factory=StartQueue)
    door: MigrationLockWarmer | None = None
