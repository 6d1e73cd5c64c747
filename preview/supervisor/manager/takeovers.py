"""Previews of lost nodes, restarted on this node from their stored files; and those that another node has taken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog
import trio

from preview.cluster import (
    Circumstances,
    Cluster,
    NodeState,
    Taken,
    Waiting,
    Wants,
    Warmth,
    busy,
    free_memory,
    wakes,
    with_room,
)
from preview.core.clock import utc_now
from preview.core.launch_steps import waiting_steps
from preview.core.lifecycle import STOP_REASONS, Health, State, StopCause
from preview.errors import (
    DatabaseUnavailable,
    DataUnavailable,
    DiskFull,
    GenerationNotFound,
    LaunchFailed,
    NoPortFree,
    PreviewError,
    ServiceStopping,
)
from preview.generations import Generation
from preview.logs import Level, LogStore
from preview.people_errors import IsolationBelowMinimum, LaunchesStopped
from preview.rollout import Subject
from preview.settings import Settings, Tier
from preview.storage import UserStore
from preview.storage.tables import PreviewRecord
from preview.supervisor.launch.launch_options import open_options
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.warming import Whose
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.arms import LaunchArm, choose_arm, make_preview
from preview.supervisor.manager.moves import move
from preview.supervisor.manager.pauses import Pauses
from preview.supervisor.manager.queued import tell_ends
from preview.supervisor.manager.registry import PreviewRegistry
from preview.supervisor.manager.spare_slots import SpareSlots
from preview.supervisor.preview.control import FirstData
from preview.user import User

log = structlog.get_logger(__name__)

LOST = "node lost"
"""Reason of a restart on another node."""

# Reasons of this node, or of this moment: another node may restart the preview, or this one later.
_OF_THIS_NODE = (DatabaseUnavailable, DiskFull, NoPortFree, ServiceStopping, IsolationBelowMinimum, LaunchesStopped)
# At a time, so that the other nodes get some of a lost node's previews.
_MOST_AT_ONCE, _AGAIN_S = 4, 0.05
# A preview that lives for so long may change its node once more.
_CHANGE_EACH_S = 300.0
_TELL_EACH_S = 60.0


def _is_disk_full(settings: Settings) -> bool:
    try:
        check_free_disk(settings)
    except DiskFull:
        return True
    return False


class Takeovers:
    """Takes previews of lost nodes while there is room. Owned by the manager.

    Args:
        context: State shared by all previews; it has a cluster.
        registry: The live previews.
        slots: Provides ports.
        users: The users' tiers.
        log_store: Stored lines.
        start: Starts a slot's task, with the context of its launch.
        draining: Set once the service ends.
    """

    def __init__(
        self,
        context: SupervisorContext,
        cluster: Cluster,
        registry: PreviewRegistry,
        slots: SpareSlots,
        users: UserStore,
        log_store: LogStore,
        start: Callable[..., None],
        draining: trio.Event,
    ) -> None:
        self._context, self._cluster = context, cluster
        self._registry, self._slots = registry, slots
        self._users, self._log_store, self._start = users, log_store, start
        self._draining = draining
        self._wake = trio.Event()
        self._told_at = -math.inf
        cluster.load = lambda: len(registry.by_id)
        self._pauses = Pauses(cluster, registry)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take previews until cancelled: at each notice, and several times a lease. One task.

        Cancellation: a preview that was taken and not started goes back to the queue when this node leaves.
        """
        task_status.started()
        async with trio.open_nursery() as adopting:
            with self._cluster.notices.subscribed(self._on_notice):
                while not self._draining.is_set():
                    await self._look(adopting)

    async def _look(self, adopting: trio.Nursery) -> None:
        """Take what suits this node, and wait until the next look is due."""
        self._wake = trio.Event()
        if self._cluster.draining:
            await self._move_all()
        next_s = await self._take_some(adopting)
        if next_s is None or next_s > 0:
            pause_s = self._cluster.lease.lease_s / 4
            with trio.move_on_after(pause_s if next_s is None else min(pause_s, next_s)):
                await self._wake.wait()

    async def _take_some(self, adopting: trio.Nursery) -> float | None:
        """Take what suits this node; return the seconds until the next look, None for the ordinary pause."""
        try:
            await self._cluster.queue.end_expired()
            circumstances = self._circumstances()
            choice = await self._cluster.queue.choose(circumstances)
            await tell_ends(self._context, self._cluster)
            self._tell_without_room(circumstances.node, choice.suitable)
            # What this node has lost and still ends would write its last lines as the new owner's.
            chosen = [one for one in choice.now if not self._registry.has(one)]
            taken = await self._take(chosen) if chosen else []
        except PreviewError as error:
            log.info("no previews taken", why=error.message)
            return None
        except Exception:
            log.exception("no previews taken")
            return None
        for one in taken:
            adopting.start_soon(self._adopt, one)
        # Another node was faster; more may wait.
        return 0.0 if taken else _AGAIN_S if chosen and self._cluster.lease.holds else choice.next_s

    async def _take(self, chosen: Sequence[str]) -> list[Taken]:
        """Take some of the previews; they are adoptions from here on, until ``_adopt`` ends them."""
        adoptions, taken = self._registry.adoptions, list[Taken]()
        for preview_id in chosen:
            adoptions.begin(preview_id)
        try:
            # Nodes choose at the same moment: one that comes second gets the next ones, not none.
            taken = await self._cluster.take(_MOST_AT_ONCE, chosen)
        finally:
            for preview_id in {*chosen} - {one.preview_id for one in taken}:
                adoptions.end(preview_id)
        return taken

    def _tell_without_room(self, node: NodeState, waiting: int) -> None:
        """Log now and then that previews wait for this node, and why it takes none."""
        now = trio.current_time()
        if waiting and not node.room and now >= self._told_at + _TELL_EACH_S:
            self._told_at = now
            why = {"draining": node.draining, "free_memory": round(node.free_memory, 3), "load": node.load}
            log.info("no room for waiting previews", waiting=waiting, capacity=node.capacity, **why)

    def _circumstances(self) -> Circumstances:
        settings, previews = self._context.settings, self._registry.by_id.values()
        state = NodeState(
            self._cluster.facts.labels,
            0 if _is_disk_full(settings) else settings.max_previews,
            len(previews) + len(self._registry.adoptions),
            free_memory(),
            busy(),
            draining=self._cluster.draining,
            name=self._cluster.name,
        )
        return Circumstances(state, self._warmth, Counter(one.record.user_id for one in previews))

    def _warmth(self, waiting: Waiting) -> Warmth:
        start = self._context.history.find(waiting.generation_id, Whose(waiting.user_id, waiting.project_id))
        if start is None:
            return Warmth.NONE
        return Warmth.WARM if self._slots.is_warm(start) else Warmth.CACHED

    def wake(self) -> None:
        """Look at the queue at once: there may be room now."""
        self._wake.set()

    def _on_notice(self, payload: str) -> None:
        if wakes(payload, self._cluster.name):
            self._wake.set()

    async def _move_all(self) -> None:
        """End the previews here, some at a time, so that other nodes restart them; not without another node."""
        try:
            nodes = await self._cluster.nodes()
        except PreviewError as error:
            log.info("previews not moved", why=error.message)
            return
        except Exception:
            log.exception("previews not moved")
            return
        live = [
            NodeState(one.facts.labels, one.facts.capacity, one.load, draining=one.draining)
            for one in nodes
            if one.is_live
        ]
        movable = [one for one in self._registry.by_id.values() if one.stored and one.outcome is None]
        has_room = with_room((Wants(one.labels) for one in movable), live)
        chosen = [one for one, fits in zip(movable, has_room, strict=True) if fits][:_MOST_AT_ONCE]
        async with trio.open_nursery() as nursery:
            for preview in chosen:
                nursery.start_soon(move, preview, self._context, self._cluster)
        if chosen:
            self._wake.set()

    async def _adopt(self, taken: Taken) -> None:
        """Restart one preview. What cannot be restarted ends as failed."""
        try:
            await self._restart(taken)
        except _OF_THIS_NODE as error:
            # Nothing was written here, so no numbers are left out.
            log.info("preview left to another node", preview_id=taken.preview_id, why=error.message)
            self._cluster.queue.decline(taken.preview_id, error.message)
            await self._cluster.give_up(taken.preview_id, is_stored=True, has_run=taken.has_run)
        except PreviewError as error:
            log.warning("preview not taken over", preview_id=taken.preview_id, why=error.message)
            await self._conclude(taken, error)
        except Exception:
            # An error that leaves this task would cancel the nursery of all previews.
            log.exception("preview not taken over", preview_id=taken.preview_id)
            await self._conclude(taken, LaunchFailed(f"{LOST}, and its restart has failed"))
        finally:
            self._registry.adoptions.end(taken.preview_id)

    async def _restart(self, taken: Taken) -> None:
        record = await self._context.store.get(taken.preview_id)
        if record is None or not record.is_active:
            # It has ended; its node was lost before it noted that, and maybe before it told.
            await self._cluster.release(taken.preview_id)
            if record is not None:
                self._context.tell_ended(record)
            return
        self._registry.adoptions.name(record.id, record.generation_id)
        if taken.has_run and record.expires_at <= taken.taken_at:
            await self._conclude(taken, LaunchFailed(STOP_REASONS[StopCause.EXPIRED]), State.STOPPED)
            return
        if record.state is State.STOPPING:
            raise LaunchFailed(record.reason or "stopped")
        # It may have ended its nodes.
        age_s = max(0.0, (taken.taken_at - record.created_at).total_seconds())
        if taken.before is not None and taken.losses >= self._context.settings.node_changes + age_s / _CHANGE_EACH_S:
            raise LaunchFailed(f"{LOST}: this preview has lost its node {taken.losses} times already")
        generation = await self._context.source.get(record.generation_id)
        if generation.user_id != record.user_id:
            raise GenerationNotFound("The generation belongs to another user now.")
        await self._launch(record, generation, taken)

    async def _launch(self, record: PreviewRecord, generation: Generation, taken: Taken) -> None:
        check_free_disk(self._context.settings)
        user = User(record.user_id)
        options = open_options(taken.options, self._context, record.id)
        tier = self._context.settings.tier(options.tier or await self._users.tier(user.id), user.id)
        # As at a launch: the least isolation level of the tier, and the switch that stops launches.
        arm = choose_arm(self._context, Subject(user.id, tier.name, generation.project_id))
        context = arm.context
        launch_settings = await context.settings_of(user.id, generation.project_id)
        number, lost_data, first_data = await context.store.last_request(record.id), "", None
        try:
            first_data = await self._latest_data(record, taken)
        except DataUnavailable as error:
            lost_data = error.message
        if not await self._until_free(record) or self._cluster.fences.get(record.id) != taken.fence:
            return
        if self._draining.is_set():
            raise ServiceStopping("This node shuts down.")
        slot = self._slots.new(partial(self._start, context=context), record.id)
        record = record if taken.has_run else self._fresh(record, tier, taken.taken_at)
        restarted = self._restarted(record, slot, taken, generation.revision, arm)
        preview = make_preview(arm, slot, restarted, tier, self._log_store, options, launch_settings)
        preview.labels, preview.first_data = dict(taken.wants.labels), first_data
        # Its row exists since its first owner.
        preview.stored, preview.has_run = True, taken.has_run
        preview.traffic.last_number = number
        left_s = (record.expires_at - taken.taken_at).total_seconds()
        preview.deadlines.expires_at = trio.current_time() + max(1.0, left_s)
        preview.log.begin(taken.first_seq)
        preview.log.say(self._sentence(taken), Level.WARNING if taken.has_run else Level.INFO)
        if lost_data:
            preview.log.say(f"data: not brought back. {lost_data}", Level.WARNING)
        self._registry.add(preview)
        slot.take(preview)
        log.info("preview taken over", preview_id=record.id, node=self._cluster.name, before=taken.before)

    async def _until_free(self, record: PreviewRecord) -> bool:
        """Wait for the end of what runs here under this id or for this generation; False if it is this preview itself.

        A preview that was launched while this one was being taken is refused by the database. A claim whose answer came
        late has its own preview already.
        """
        registry = self._registry
        while (other := registry.by_id.get(record.id) or registry.of(record.generation_id)) is not None:
            if other.id == record.id:
                await other.accepted.wait()
                if other.stored and other.outcome is None:
                    return False
            await other.over.wait()
        return True

    async def _latest_data(self, record: PreviewRecord, taken: Taken) -> FirstData | None:
        """Return the last data of the preview that was saved; its owner's row names it."""
        store = self._context.snapshots
        if store is None or taken.snapshot_id is None:
            return None
        latest = await store.last_own(record.generation_id, record.user_id, taken.snapshot_id, record.created_at)
        if latest is None:
            raise DataUnavailable(f"The snapshot {taken.snapshot_id} was deleted.")
        return FirstData(await store.verify(latest), latest.parts, f"the snapshot {latest.id}")

    def _fresh(self, record: PreviewRecord, tier: Tier, now: datetime) -> PreviewRecord:
        """Let the times of a launch begin now: it has waited until here."""
        settings = self._context.settings
        expires_at = now + timedelta(seconds=min(settings.max_uptime_s, tier.max_life_s))
        token_expires_at = min(expires_at, now + timedelta(seconds=settings.session_timeout_s))
        return replace(record, expires_at=expires_at, token_expires_at=token_expires_at)

    def _restarted(
        self, record: PreviewRecord, slot: PreviewSlot, taken: Taken, revision: int | None, arm: LaunchArm
    ) -> PreviewRecord:
        return replace(
            record,
            state=State.STARTING,
            health=Health.UNKNOWN,
            reason=None if taken.before is None else LOST,
            port=slot.port,
            base_url=f"http://{self._context.settings.preview_public_host}:{slot.port}",
            runtime=arm.context.runtime.name,
            pid=None,
            pid_start_ticks=None,
            boot_id=None,
            started_at=None,
            steps=waiting_steps(),
            reloads=record.reloads if taken.first_seq == 1 else record.reloads.after(taken.first_seq),
            revision=revision,
        )

    def _sentence(self, taken: Taken) -> str:
        if not taken.has_run:
            return f"taken from the queue by the node {self._cluster.name}"
        if taken.before is None:
            return f"started on the node {self._cluster.name}"
        return (
            f"{LOST}: {taken.before}; restarted on the node {self._cluster.name} from the stored files. Line numbers "
            f"before {taken.first_seq} that are missing belong to the lost node"
        )

    async def _conclude(self, taken: Taken, error: PreviewError, state: State = State.FAILED) -> None:
        """Store the end of a preview that is not restarted."""
        try:
            record = await self._context.store.get(taken.preview_id)
            if record is not None and record.is_active:
                is_stopping = record.state is State.STOPPING
                state, reason = (State.STOPPED, record.reason) if is_stopping else (state, error.message)
                ended = replace(record, state=state, reason=reason, stopped_at=utc_now(), last_seq=taken.first_seq - 1)
                await self._context.store.update(ended)
                self._context.tell_ended(ended)
            await self._cluster.release(taken.preview_id)
        except Exception as failure:
            is_known = isinstance(failure, PreviewError)
            log.warning("end not stored yet", preview_id=taken.preview_id, error=str(failure), exc_info=not is_known)
            # Whichever node takes it next tries again.
            await self._cluster.give_up(taken.preview_id, is_stored=True)
