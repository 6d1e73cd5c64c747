"""A limit on work that needs a processor: fifty starts at once on two processors would all come up at the end.

With a few at a time the first are up at once, and the last one is earlier too: less is fetched from memory again and
again (``benchmarks/launch.py --many 50``).
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
# A start that has not ended by then most likely waits for something else than a processor; others do not wait for it.
_LONGEST_S = 1.0


class StartSlot:
    """One of the slots in use. ``release`` may be called again."""

    def __init__(self, release: Callable[[StartSlot], None]) -> None:
        self._release = release

    def release(self) -> None:
        """Let the next one start."""
        self._release(self)


class _Waiter:
    """One in the queue; woken when a slot may be free for it."""

    def __init__(self) -> None:
        self.woken = trio.Event()


class StartQueue:
    """FIFO limit on concurrent starts that need a processor; a slot is free after 1 s, even if its start still runs.

    Args:
        most: How many slots; None are two for each processor that this process may use.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most or _EACH_PROCESSOR * len(os.sched_getaffinity(0))
        # Until when each counts; the one that ends first comes first.
        self._used: dict[StartSlot, float] = {}
        self._waiting: deque[_Waiter] = deque()
        self._idle = trio.Event()

    @asynccontextmanager
    async def open_slot(self, queued: Callable[[int], None] | None = None) -> AsyncIterator[StartSlot]:
        """Wait for a slot, which is held until it is released, a second has passed, or this is left.

        Args:
            queued: Called with the number of starts before this one, unless it may start at once.

        Cancellation: the slot is the next one's.
        """
        await self._wait(queued)
        with self._use() as slot:
            # There may be another one for the next in the queue.
            self._wake_first()
            yield slot

    @contextmanager
    def open_slot_now(self) -> Iterator[StartSlot | None]:
        """Open a slot as ``open_slot`` does, without waiting; None where no slot is free."""
        if self._waiting or not self._has_free_slot():
            yield None
            return
        with self._use() as slot:
            yield slot

    @contextmanager
    def _use(self) -> Iterator[StartSlot]:
        slot = StartSlot(self._free)
        self._used[slot] = trio.current_time() + _LONGEST_S
        try:
            yield slot
        finally:
            self._free(slot)

    async def wait_idle(self) -> None:
        """Wait until no slot is used and nobody waits for one. Cancellation: nothing changes."""
        while self._used or self._waiting:
            self._idle = trio.Event()
            # The slot of a slow start is free already.
            with trio.move_on_after(_LONGEST_S):
                await self._idle.wait()
            self._has_free_slot()
        await trio.lowlevel.checkpoint()

    async def _wait(self, queued: Callable[[int], None] | None) -> None:
        """Wait for a free slot. Cancellation: leaves the queue."""
        if not self._waiting and self._has_free_slot():
            await trio.lowlevel.checkpoint()
            if not self._waiting and self._has_free_slot():
                return
        if queued is not None:
            queued(len(self._used) + len(self._waiting))
        waiter = _Waiter()
        self._waiting.append(waiter)
        try:
            while self._waiting[0] is not waiter or not self._has_free_slot():
                waiter.woken = trio.Event()
                # Only the first one looks at the clock.
                ends_at = next(iter(self._used.values())) if self._waiting[0] is waiter else math.inf
                with trio.move_on_at(ends_at):
                    await waiter.woken.wait()
        finally:
            self._waiting.remove(waiter)
            self._wake_first()

    def _has_free_slot(self) -> bool:
        now = trio.current_time()
        for slot in [slot for slot, ends_at in self._used.items() if ends_at <= now]:
            del self._used[slot]
        return len(self._used) < self._most

    def _free(self, slot: StartSlot) -> None:
        if self._used.pop(slot, None) is not None:
            self._wake_first()

    def _wake_first(self) -> None:
        if self._waiting:
            self._waiting[0].woken.set()
        elif not self._used:
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
        analyses: What was read of projects.
        history: What generations are started in.
        read_queue: Who may analysis a project now: that takes a processor.
        start_queue: Who may start its processes now.
        migration_lock: Warms the lock of the control groups, where the machine has them.
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
    history: StartHistory = field(default_factory=StartHistory)
    read_queue: StartQueue = field(default_factory=StartQueue)
    start_queue: StartQueue = field(default_factory=StartQueue)
    migration_lock: MigrationLockWarmer | None = None
