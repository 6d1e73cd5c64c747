"""The manager, which owns every preview of the service. It decides synchronously, then acts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import structlog
import trio

from preview.cluster import Wants
from preview.core.bounded_dict import BoundedDict
from preview.core.lifecycle import StopCause
from preview.core.quoting import quoted
from preview.detection import Overrides
from preview.errors import Forbidden, InvalidRequest, PreviewNotFound, ProjectMismatch, ServiceStopping
from preview.generations import Generation
from preview.launch_settings import ResolvedSettings
from preview.logs import LogStore
from preview.rollout import Subject
from preview.settings import Settings, Tier
from preview.storage import UserStore
from preview.storage.previews import NOBODY
from preview.storage.tables import PreviewRecord
from preview.supervisor.launch.launch_options import LaunchOptions
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.warming import Whose
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.life.run import run_preview
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.arms import LaunchArm, choose_arm, make_preview
from preview.supervisor.manager.queries import PreviewQueries
from preview.supervisor.manager.queued import OF_THIS_NODE
from preview.supervisor.manager.registry import (
    LaunchRate,
    PreviewRegistry,
    lower_preview_priority,
    no_active_preview,
    with_last_lines,
)
from preview.supervisor.manager.spare_slots import SpareSlots
from preview.supervisor.manager.takeovers import Takeovers
from preview.supervisor.manager.trials import Trials
from preview.supervisor.preview.control import DataChange, FilesChange, Launched, LaunchRequest, Reloaded
from preview.supervisor.preview.deadlines import Change
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.new_record import new_record
from preview.user import User

log = structlog.get_logger(__name__)

_MAX_REMEMBERED = 1000


class PreviewManager(PreviewQueries):
    """Launches, finds and stops previews.

    Owned by ``open_service``, whose nursery runs every preview. A caller that disconnects cancels only its own wait.

    Invariant: a preview is in the registry from its claim until all its resources are released. There is no await
    between a check and its claim. ``slots`` has the spare slots, ``trials`` the previews of replays and probes.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        context: SupervisorContext,
        *,
        users: UserStore,
        log_store: LogStore,
        draining: trio.Event,
    ) -> None:
        super().__init__(context, PreviewRegistry(context.settings.max_previews), log_store)
        self._nursery = nursery
        self._users = users
        self._draining = draining
        self.slots = SpareSlots(context, self._registry, self._start)
        self._rate = LaunchRate(context.settings.launches_per_minute)
        self.trials = Trials(nursery, context, self._registry, self.slots, log_store, draining)
        parts = (self._registry, self.slots, users, log_store, self._start, draining)
        self.takeovers = None if context.cluster is None else Takeovers(context, context.cluster, *parts)
        # Of deleted generations; a killed service may have left some.
        self._has_disowned = True
        # Start options by user and generation. ``BoundedDict`` drops the oldest.
        self._overrides: BoundedDict[tuple[str, str], Overrides] = BoundedDict(_MAX_REMEMBERED)

    @property
    def _settings(self) -> Settings:
        return self._context.settings

    async def store_pending(self) -> int:
        """Store pending final records; return how many were stored. Cancellation: the rest stays pending."""
        stored = 0
        for record in list(self._context.pending.values()):
            try:
                await self._context.store.update(record)
            except PreviewNotFound:
                log.warning("ended preview has no row", preview_id=record.id)
            else:
                stored += 1
            self._context.pending.pop(record.id, None)
        return stored

    # Deletion

    async def forget(self, generation_id: str, user_id: str) -> None:
        """Stop and disown the previews of a deleted generation, and delete its data snapshots.

        The cleanup deletes the previews' logs soon after.

        Cancellation: the running preview stops nevertheless; the cleanup does the rest.
        """
        self._has_disowned = True
        self._overrides.pop((user_id, generation_id), None)
        await self._cancel(generation_id)
        if (preview := self.active(generation_id)) is not None:
            # Launched while the generation was being deleted: no user can reach this preview to stop it.
            preview.request_stop(StopCause.USER)
            await preview.over.wait()
            await self._context.store.disown(generation_id, user_id)
            self._has_disowned = True
        if self._context.snapshots is not None:
            await self._context.snapshots.forget(generation_id)
        for record in list(self._context.pending.values()):
            if record.generation_id == generation_id:
                self._context.pending[record.id] = replace(record, user_id=NOBODY)

    async def delete_disowned(self) -> int:
        """Delete the rows and logs of deleted generations' previews, in short transactions; return how many.

        Raises:
            DatabaseUnavailable: A later call continues.

        Cancellation: a later call continues.
        """
        if not self._has_disowned:
            return 0
        self._has_disowned, total = False, 0
        try:
            while count := await self._context.store.delete_disowned():
                total += count
        except BaseException:
            self._has_disowned = True
            raise
        return total

    # Launch

    async def launch(self, request: LaunchRequest) -> Launched:
        """Launch a generation. Returns when the preview exists and its log can be watched, or when it is queued.

        If the generation's previous preview is ending, this first waits for its end.

        Raises:
            GenerationNotFound, Forbidden, ProjectMismatch: This user cannot launch the generation.
            InvalidGeneration: The files cannot be run; no preview was created.
            AlreadyRunning, LimitReached, NoPortFree, ServiceStopping: A limit is reached; ``details`` has the facts.
            LaunchesStopped: The operator has stopped launches.
            IsolationBelowMinimum: The service lacks the least isolation level of the user's tier.
            TooManyLaunches: The user's launch rate is too high; a restart counts as a launch.
            DiskFull: The service's own disk has no space.

        Cancellation: before the claim nothing has happened; after the claim the preview continues without the caller.
        """
        if request.labels and self.queued is None:
            raise InvalidRequest("This service is no node of a cluster: leave the labels out.", field="labels")
        generation = await self._own_generation(request)
        tier = self._settings.tier(request.user.tier or await self._users.tier(request.user.id), request.user.id)
        await self._until_ended(generation.id)
        settings = await self._context.settings_of(request.user.id, generation.project_id)
        try:
            preview, token = self._claim(request, generation, tier, settings)
            await preview.accepted.wait()
            if not preview.stored:
                raise preview.cause
        except OF_THIS_NODE as error:
            if self.queued is None:
                raise
            self._rate.take(request.user.id)
            return await self.queued.put(request, generation, tier, error)
        return Launched(preview.record, token)

    async def _own_generation(self, request: LaunchRequest) -> Generation:
        generation = await self._context.source.get(request.generation_id)
        if generation.user_id != request.user.id:
            raise Forbidden("This generation belongs to another user.")
        if request.project_id is not None and request.project_id != generation.project_id:
            raise ProjectMismatch(
                f"The generation {generation.id!r} does not belong to the project {quoted(request.project_id)}; "
                "send the project it was made for, or leave it out."
            )
        return generation

    def _claim(
        self, request: LaunchRequest, generation: Generation, tier: Tier, launch_settings: ResolvedSettings
    ) -> tuple[LivePreview, str]:
        """Check the limits and claim a slot in one step, without an await (guarantee 7)."""
        if self._draining.is_set():
            raise ServiceStopping("The service is shutting down and launches nothing more; try again in a moment.")
        arm = choose_arm(self._context, Subject(request.user.id, tier.name, generation.project_id))
        self._registry.check_not_live(generation.id)
        if self.queued is not None:
            self.queued.check_here(Wants(request.labels))
        self._registry.check_free(request.user, generation.id, tier)
        self._check_launch(request.user)
        settings, slot = arm.context.settings, self._claim_slot(arm, generation)
        self._rate.take(request.user.id)
        record, token = new_record(
            settings,
            now=self._context.now(),
            preview_id=slot.id,
            user=request.user,
            tier=tier,
            generation_id=generation.id,
            project_id=generation.project_id,
            port=slot.port,
            runtime=arm.context.runtime.name,
            revision=generation.revision,
        )
        options = LaunchOptions(tier.name, request.startup_timeout_s, request.overrides)
        preview = make_preview(arm, slot, record, tier, self._log_store, options, launch_settings)
        preview.labels = dict(request.labels)
        self._registry.add(preview)
        self._remember((request.user.id, generation.id), request.overrides)
        slot.take(preview)
        return preview, token

    def _claim_slot(self, arm: LaunchArm, generation: Generation) -> PreviewSlot:
        """Return a slot; a spare one only for a launch like those that it was made for."""
        if arm.choices.is_ordinary:
            return self.slots.claim(generation.id, Whose(generation.user_id, generation.project_id))
        return self.slots.new(partial(self._start, context=arm.context))

    def _start(self, slot: PreviewSlot, context: SupervisorContext | None = None) -> None:
        self._nursery.start_soon(self._run, slot, context or self._context, name=slot.id)

    def _check_launch(self, user: User) -> None:
        """Check the limits that apply to launches and restarts."""
        check_free_disk(self._settings)
        self._rate.check(user.id)

    async def _check_restart(self, user: User) -> None:
        """Check the limits of a restart and count it; in a cluster, also for all nodes."""
        self._check_launch(user)
        # First: who restarts too often here costs the database nothing.
        self._rate.take(user.id)
        if self._context.cluster is not None:
            await self._context.cluster.queue.count_launch(user.id)

    def _remember(self, key: tuple[str, str], overrides: Overrides | None) -> None:
        """Keep the overrides for the next restart, in memory only: variables may contain secrets."""
        if overrides is None:
            self._overrides.pop(key, None)
        else:
            self._overrides[key] = overrides

    async def _run(self, slot: PreviewSlot, context: SupervisorContext) -> None:
        """Run one preview. Frees its slot and wakes its waiters only after the teardown."""
        try:
            await run_preview(slot, context)
        finally:
            if slot.preview is None:
                self.slots.forget(slot)
            else:
                self._registry.remove(slot.preview)
                slot.preview.traffic.close()
                slot.preview.over.set()
                if self.takeovers is not None:
                    self.takeovers.wake()

    def is_held(self, preview_id: str) -> bool:
        """Return True for the id of a live or trial preview, or of a spare slot."""
        return preview_id in self.all_active or self.slots.has(preview_id) or self.trials.has(preview_id)

    async def keep_spares(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep spare slots; see ``SpareSlots.keep``. Cancellation: the spare slots end with the nursery."""
        await self.slots.keep(task_status=task_status)

    # Stop

    async def stop(
        self, generation_id: str, cause: StopCause = StopCause.USER, *, only: str | None = None
    ) -> PreviewRecord:
        """Stop the generation's preview, also one in the queue. Returns when its processes, port and files are gone.

        Raises:
            NoActivePreview: The generation has no preview, or another one than ``only``.
            PreviewUnavailable: It was moving to another node, which has it now; a further request stops it there.

        Cancellation: the preview stops nevertheless, unless it was moving.
        """
        if self.active(generation_id) is None and (queued := await self._cancel(generation_id, only)) is not None:
            return queued
        preview = self.require(generation_id)
        if only not in {None, preview.id}:
            raise no_active_preview(generation_id)
        preview.request_stop(cause)
        return await self._stopped(preview)

    # Change

    async def restart(self, user: User, generation_id: str) -> Launched:
        """Restart the generation's preview in place if it is running; otherwise launch a new one with a new log.

        A restart in place keeps id, port, tokens, folder and log; it returns when the new process serves. The saved
        settings apply, and the overrides of the last launch request, unless the service was restarted.

        Raises:
            LaunchFailed: The new process does not serve; the old one still does.
            PreviewError: See ``launch``.

        Cancellation: a restart in place still completes; a launch continues only if it had started.
        """
        generation = await self._own_generation(LaunchRequest(user, generation_id))
        settings = await self._context.settings_of(user.id, generation.project_id)
        preview = self.active(generation_id)
        request = LaunchRequest(user, generation_id, overrides=self._overrides.get((user.id, generation_id)))
        if preview is not None:
            request = replace(request, overrides=preview.requested, labels=preview.labels)
            if preview.address is not None and preview.memory_mb == settings.memory_mb:
                await self._check_restart(user)
                await self._change(preview, preview.changes.put(None, settings=settings))
                return Launched(preview.record, preview.further_token())
            self._check_launch(user)
            if self._context.cluster is not None:
                await self._context.cluster.queue.check_launch(user.id)
            await self.stop(generation_id)
        return await self.launch(request)

    async def reload(self, user: User, generation_id: str, files: FilesChange) -> Reloaded:
        """Change files in the generation's running preview and restart it in place. Returns when the new code serves.

        Waits for a preview that is still starting. The changed files stay, even if the new process fails.

        Raises:
            NoActivePreview: The generation has no preview.
            LaunchFailed: The new process does not start with these files; the old one still serves.
            GenerationNotFound, Forbidden: The generation does not exist or belongs to another user.
            TooManyLaunches, DiskFull: See ``launch``.

        Cancellation: a change that has started still completes.
        """
        generation = await self._own_generation(LaunchRequest(user, generation_id))
        preview = self.require(generation_id)
        await preview.settled.wait()
        await self._check_restart(user)
        settings = await self._context.settings_of(user.id, generation.project_id)
        change = await self._change(preview, preview.changes.put(files, settings=settings))
        return Reloaded(preview.record, tuple(files.written), tuple(files.removed), change.elapsed_s)

    async def replace_data(self, user: User, generation_id: str, data: DataChange) -> float:
        """Replace the data of the generation's running preview; return after how many seconds it served again.

        Raises:
            NoActivePreview: None runs.
            DataUnavailable, LaunchFailed: It failed; the data is what it was, unless the preview has ended.
            TooManyLaunches, DiskFull: See ``launch``.

        Cancellation: it is carried out all the same.
        """
        preview = self.require(generation_id)
        await preview.settled.wait()
        await self._check_restart(user)
        return (await self._change(preview, preview.changes.put(None, data))).elapsed_s

    async def _change(self, preview: LivePreview, change: Change) -> Change:
        preview.touch()
        await change.settled.wait()
        if change.error is not None:
            raise with_last_lines(change.error, preview)
        return change

    async def stop_all(self, cause: StopCause = StopCause.SHUTDOWN) -> None:
        """Stop every preview; return when all are over. Cancellation: the previews stop nevertheless."""
        previews = [*self.all_active.values(), *self._registry.trials]
        if cause is StopCause.SHUTDOWN:
            self.slots.close()
            lower_preview_priority(previews)
        for preview in previews:
            preview.request_stop(cause)
        for preview in previews:
            await preview.over.wait()

    async def extend(self, generation_id: str, seconds: float) -> PreviewRecord:
        """Move the expiry by ``seconds``.

        Raises:
            NoActivePreview: The generation has no preview.
            InvalidRequest: The tier's maximum lifetime is reached.

        Cancellation: the expiry is moved; the row is updated with the next change.
        """
        preview = self.require(generation_id)
        preview.extend(seconds)
        try:
            await self._context.store.update(preview.record)
        except PreviewNotFound as error:  # the preview ended meanwhile
            raise no_active_preview(generation_id) from error
        return preview.record
