"""FIFO limit on CPU-heavy starts, and the state that all supervisors share.

If fifty processes started at once on two processors, all would be ready only at the end. With a few at a time the first
ones are ready at once. The last one is ready earlier too, because the processors' caches are used better
(``benchmarks/launch.py --many 50``).
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import trio

from preview.backing import Backing
from preview.cluster import Cluster
from preview.core.clock import utc_now
from preview.data import SnapshotStore
from preview.environments import EnvironmentCache, ImageCache
from preview.environments.node.build import NodeEnvironmentCache
from preview.generations import GenerationSource
from preview.launch_settings import ACTIVE, NO_SETTINGS, LaunchSettings, ResolvedSettings
from preview.logs import LogWriter
from preview.rollout import Rollout
from preview.runtime import Runtime
from preview.runtime.cgroups import MigrationLockWarmer
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore, Sealer
from preview.supervisor.launch.project_analysis import AnalysisCache
from preview.supervisor.launch.start_history import StartHistory
from preview.supervisor.limits.watch_disk import Watchers
from preview.supervisor.preview.live_preview import LivePreview
from preview.tracing import TraceKeeper
from preview.traffic import TrafficWriter

# A start works on several things in parallel (namespaces, files, imports): two per processor keep all processors busy.
_EACH_PROCESSOR = 2
# A start that takes longer most likely waits for something other than a processor, so others need not wait for it.
_LONGEST_S = 1.0

FAREWELL_S = 1.0
"""Longest time between a preview's last process and the removal of its folder, for those who read its files."""


class StartSlot:
    """A slot in use. ``release`` is idempotent."""

    def __init__(self, release: Callable[[StartSlot], None]) -> None:
        self._release = release

    def release(self) -> None:
        """Free the slot for the next start."""
        self._release(self)


class _Waiter:
    """An entry of the queue, woken when a slot may be free."""

    def __init__(self, *, is_urgent: bool) -> None:
        self.is_urgent = is_urgent
        self.woken = trio.Event()


class StartQueue:
    """FIFO limit on concurrent CPU-heavy starts; a slot is free after 1 s, even if its start still runs.

    Args:
        most: Number of slots; None means two for each processor that this process may use.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most or _EACH_PROCESSOR * len(os.sched_getaffinity(0))
        # Slots in use with their expiry times, the earliest first.
        self._used: dict[StartSlot, float] = {}
        self._waiting: deque[_Waiter] = deque()
        self._idle = trio.Event()

    @property
    def waiting(self) -> int:
        """Number of starts that wait for a slot."""
        return len(self._waiting)

    @asynccontextmanager
    async def open_slot(
        self, queued: Callable[[int], None] | None = None, *, is_urgent: bool = False
    ) -> AsyncIterator[StartSlot]:
        """Wait for a slot; it is used until it is released, a second has passed, or the context is left.

        Args:
            queued: Called with the number of earlier starts, unless a slot is free at once.
            is_urgent: Go before the launches that wait: the preview has served already.

        Cancellation: the slot is free for the next start.
        """
        await self._wait(queued, is_urgent=is_urgent)
        with self._use() as slot:
            # Another slot may be free for the next waiter.
            self._wake_first()
            yield slot

    @contextmanager
    def open_slot_now(self) -> Iterator[StartSlot | None]:
        """Open a slot like ``open_slot``, without waiting; yields None if no slot is free."""
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
        """Wait until no slot is in use and the queue is empty. Cancellation: nothing changes."""
        while self._used or self._waiting:
            self._idle = trio.Event()
            # The slot of a slow start expires without an event.
            with trio.move_on_after(_LONGEST_S):
                await self._idle.wait()
            self._has_free_slot()
        await trio.lowlevel.checkpoint()

    async def _wait(self, queued: Callable[[int], None] | None, *, is_urgent: bool) -> None:
        """Wait for a free slot. Cancellation: leaves the queue."""
        if not self._waiting and self._has_free_slot():
            await trio.lowlevel.checkpoint()
            if not self._waiting and self._has_free_slot():
                return
        earlier = sum(one.is_urgent for one in self._waiting) if is_urgent else len(self._waiting)
        if queued is not None:
            queued(len(self._used) + earlier)
        waiter = _Waiter(is_urgent=is_urgent)
        self._waiting.insert(earlier, waiter)
        try:
            while self._waiting[0] is not waiter or not self._has_free_slot():
                waiter.woken = trio.Event()
                # Only the first waiter needs a timeout, for expiring slots.
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
    """State shared by all supervisors. Created once, by ``open_service``.

    Attributes:
        environments: Cache of Python environments.
        node_environments: Cache of Node environments.
        backing: Servers that previews get.
        pending: Final rows that could not be stored, by preview id; the cleanup stores them. Bounded by the number of
            previews that can end during an outage of the database.
        disk_watchers: All tasks that watch a preview's disk usage.
        analyses: Cache of project analyses.
        history: History of starts.
        read_queue: Limits concurrent analyses, which are CPU-heavy.
        start_queue: Limits concurrent starts of processes.
        snapshots: Stored data snapshots; None in tests without any.
        migration_lock: Warms the lock for moving processes between control groups; None without control groups.
        traffic: Stores requests to previews; None in tests that record none.
        traces: Keeps the spans of previews; None in tests that keep none.
        launch_settings: Settings of projects; None in tests without any.
        rollout: Flags of operators; None in tests without any.
        runtimes: Further runtimes that a flag or a project may give a launch, by name.
        images: Images of projects with a Dockerfile; None if the service builds none.
        observers: Called with each new preview before its first line. They may add listeners to its log, and must not
            wait.
        end_observers: Called with the final record of each preview of a cluster that ended while no node ran it. They
            must not wait.
        farewells: Called with each preview after its processes' end, before its folder is removed; together they may
            take ``FAREWELL_S``.
        cluster: The cluster of which this service is a node; None if it is none.
        sealer: Encrypts the options of launches for other nodes; None in tests without it.
    """

    settings: Settings
    source: GenerationSource
    environments: EnvironmentCache
    node_environments: NodeEnvironmentCache
    runtime: Runtime
    store: PreviewStore
    writer: LogWriter
    analyses: AnalysisCache
    backing: Backing = field(default_factory=lambda: Backing(()))
    pending: dict[str, PreviewRecord] = field(default_factory=dict)
    disk_watchers: Watchers = field(default_factory=Watchers)
    history: StartHistory = field(default_factory=StartHistory)
    read_queue: StartQueue = field(default_factory=StartQueue)
    start_queue: StartQueue = field(default_factory=StartQueue)
    snapshots: SnapshotStore | None = None
    migration_lock: MigrationLockWarmer | None = None
    traffic: TrafficWriter | None = None
    traces: TraceKeeper | None = None
    launch_settings: LaunchSettings | None = None
    rollout: Rollout | None = None
    runtimes: Mapping[str, Runtime] = field(default_factory=dict)
    images: ImageCache | None = None
    observers: list[Callable[[LivePreview], None]] = field(default_factory=list)
    end_observers: list[Callable[[PreviewRecord], None]] = field(default_factory=list)
    farewells: list[Callable[[LivePreview], Awaitable[None]]] = field(default_factory=list)
    cluster: Cluster | None = None
    sealer: Sealer | None = None

    def tell_ended(self, record: PreviewRecord) -> None:
        """Call the observers of ends."""
        for observe in self.end_observers:
            observe(record)

    def owns(self, preview_id: str) -> bool:
        """Return whether the preview is this service's: only a node of a cluster can lose one."""
        cluster = self.cluster
        return cluster is None or preview_id in cluster.fences or preview_id in cluster.paused

    def holds(self, preview_id: str) -> bool:
        """Return whether no other node can have the preview now: this one owns it, and its lease holds."""
        return self.cluster is None or (self.cluster.lease.holds and preview_id in self.cluster.fences)

    def now(self) -> datetime:
        """Return the time; in a cluster by the clock of the database, which all nodes go by."""
        return utc_now() if self.cluster is None else self.cluster.clock.now()

    async def settings_of(self, user_id: str, project_id: str, preset: str | None = ACTIVE) -> ResolvedSettings:
        """Return the launch settings of a project; none without a store.

        Raises:
            PresetNotFound: There is no such preset.
            SealedTextUnreadable: A secret cannot be decrypted.

        Cancellation: nothing changes.
        """
        if self.launch_settings is None:
            return NO_SETTINGS
        return await self.launch_settings.resolve(user_id, project_id, preset)
