"""Previews whose processes are stopped while the node's lease is over, and what becomes of them then."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack

import structlog
import trio

from preview.cluster import Cluster
from preview.core.lifecycle import Departure, State
from preview.logs import Level
from preview.runtime import Freeze
from preview.supervisor.life.persistence import lost_ownership
from preview.supervisor.manager.registry import PreviewRegistry
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

Find = Callable[[], Iterable[int]]

# Previews that are stopped at a time; for each, a thread waits until the kernel has stopped its processes.
_THREADS = 40


class Paused:
    """A preview all of whose processes are stopped: nothing of it acts, whichever node has it. Made by ``pause``."""

    def __init__(self, preview: LivePreview) -> None:
        self.preview = preview
        self._freeze = Freeze()
        self._held = AsyncExitStack()

    async def begin(self, find: Find, until: float, threads: trio.CapacityLimiter) -> bool:
        """Stop its processes, and start no more; return whether all stand still. Cancellation: some may be stopped."""
        preview = self.preview
        try:
            # A process that starts while others are stopped would not be one of these.
            preview.start_turn.acquire_nowait()
        except trio.WouldBlock:
            return False
        self._held.callback(preview.start_turn.release)
        await self._held.enter_async_context(preview.inside.paused(lost_ownership()))
        preview.stands_still = True
        return await self.stop(find, until, threads)

    async def stop(self, find: Find, until: float, threads: trio.CapacityLimiter) -> bool:
        """Stop its processes; return whether all stood still by ``until``. Cancellation: as above."""

        def stop() -> bool:
            # It may have waited for its thread.
            return self._freeze.stop(find, max(0.0, until - time.monotonic()))

        try:
            return await trio.to_thread.run_sync(stop, limiter=threads)
        except (OSError, RuntimeError) as error:
            # The machine has no descriptor or no thread for it; the others are stopped nevertheless.
            log.warning("preview not paused", preview_id=self.preview.id, reason=str(error))
            return False

    async def go_on(self, seconds: float) -> None:
        """Let it go on, which this node owns for certain. Cancellation: it goes on."""
        self._freeze.thaw()
        self.preview.stands_still = False
        self.preview.log.say(
            f"paused for {seconds:.1f} s: this node could not reach the cluster's database", Level.WARNING
        )
        await self._held.aclose()

    async def end(self) -> None:
        """Begin its end; nothing of it runs again. Cancellation: it ends."""
        self.preview.depart(Departure.NODE_LOST, lost_ownership())
        await self._held.aclose()


class Pauses:
    """Pauses the previews of this node when its lease is over. Owned by ``Takeovers``.

    Args:
        cluster: The cluster.
        registry: The live previews.
    """

    def __init__(self, cluster: Cluster, registry: PreviewRegistry) -> None:
        self._cluster, self._registry = cluster, registry
        self._paused: dict[str, Paused] = {}
        self._threads = trio.CapacityLimiter(_THREADS)
        cluster.on_lost = self._end
        cluster.pause, cluster.go_on, cluster.end_all = self.pause, self.go_on, self.end_all

    async def pause(self) -> Collection[str]:
        """Stop all processes of all previews, and end the previews whose processes cannot be stopped for certain.

        Returns the ids of those that stand still. Cancellation: some are stopped.
        """
        async with trio.open_nursery() as nursery:
            for preview in (*self._registry.by_id.values(), *self._registry.trials):
                if preview.id not in self._paused:
                    nursery.start_soon(self._pause_or_end, preview)
        return frozenset(self._paused)

    async def _pause_or_end(self, preview: LivePreview) -> None:
        paused, find = Paused(preview), preview.find_all()
        # The last part of a lease is for this. What is launched, changed or moved just now ends.
        within_s, stands_still = self._cluster.lease.lease_s / 4, False
        until = time.monotonic() + within_s
        is_calm = preview.record.state is State.RUNNING and preview.outcome is None and preview.changes.is_idle
        if find is not None and is_calm and preview.id in self._registry.by_id:
            with trio.move_on_after(within_s):
                stands_still = await paused.begin(find, until, self._threads)
        if stands_still and preview.outcome is None:
            self._paused[preview.id] = paused
            return
        was_ending = preview.outcome is not None
        await paused.end()
        if find is not None and not preview.over.is_set():
            # What began to end before has its grace: it may not run meanwhile.
            stands_still = await paused.stop(find, until, self._threads)
        if was_ending and stands_still and preview.id in self._registry.by_id:
            # Its end may take its whole grace: the lease can be renewed before.
            self._paused[preview.id] = paused
        else:
            await preview.over.wait()

    async def go_on(self, preview_ids: Collection[str], seconds: float) -> None:
        """Let these go on, and end the others. Cancellation: some stand still, and end with this node."""
        for preview_id, paused in list(self._paused.items()):
            if preview_id not in preview_ids or paused.preview.outcome is not None:
                await paused.end()
            elif self._cluster.lease.holds:
                await paused.go_on(seconds)
            else:
                # This node has stood still meanwhile: the next renewal decides.
                continue
            del self._paused[preview_id]

    def _end(self, preview_ids: Collection[str]) -> None:
        for preview_id in preview_ids:
            preview = self._registry.by_id.get(preview_id)
            if preview is not None:
                preview.depart(Departure.NODE_LOST, lost_ownership())

    async def end_all(self) -> None:
        """End all previews; return when all are over. Cancellation: they end."""
        previews = [*self._registry.by_id.values(), *self._registry.trials]
        for preview in previews:
            preview.depart(Departure.NODE_LOST, lost_ownership())
        for preview in previews:
            await preview.over.wait()
        for paused in self._paused.values():
            await paused.end()
        self._paused.clear()
