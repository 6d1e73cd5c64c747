"""Trial previews: short, hidden previews that try requests without a change of the user's own preview.

A trial has its own process, port, folders, databases and limits. Its row belongs to no user, so no list shows it, and a
crash of the service is reconciled as for every preview. Its row and lines are deleted at its end.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import structlog
import trio

from preview.core.lifecycle import State, StopCause
from preview.detection import Overrides
from preview.errors import PreviewError, ServiceStopping
from preview.generations import Generation, GenerationSource
from preview.launch_settings import ACTIVE, ResolvedSettings
from preview.logs import LogStore, PreviewLog
from preview.rollout import Subject
from preview.supervisor.launch.start_history import StartHistory
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.life.run import run_preview
from preview.supervisor.limits.disk import check_free_disk
from preview.supervisor.manager.arms import choose_arm
from preview.supervisor.manager.registry import PreviewRegistry, with_last_lines
from preview.supervisor.manager.spare_slots import SpareSlots
from preview.supervisor.preview.control import FirstData
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.new_record import new_record
from preview.user import User

log = structlog.get_logger(__name__)

# The last lines are written within the stop budget; this is for the deletion of rows and lines.
_DELETE_S = 5.0


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """A request for a trial preview.

    Attributes:
        user: The owner of the generation.
        generation: The files to run.
        first_data: Data to begin with; None: the generation's first data, or none.
        overrides: Start options.
        preset: Preset of the project's settings; None: none; ``ACTIVE``: the active one.
        observers: Called with the trial before its first line, as ``SupervisorContext.observers``.
        source: Provides the files of a version of the generation; None: its current files.
    """

    user: User
    generation: Generation
    first_data: FirstData | None = None
    overrides: Overrides | None = None
    preset: str | None = ACTIVE
    observers: Sequence[Callable[[LivePreview], None]] = ()
    source: GenerationSource | None = None

    @property
    def is_ordinary(self) -> bool:
        """True for the generation's current files with the usual start options."""
        return self.overrides is None and self.preset == ACTIVE and self.source is None


class Trials:
    """Launches trial previews: one for each user, ``PREVIEW_TRIALS`` in the service. Owned by the manager.

    Args:
        nursery: The nursery of all previews.
        context: State shared by all previews.
        registry: The live previews.
        slots: Provides ports.
        log_store: Stored lines.
        draining: Set when the service shuts down.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        context: SupervisorContext,
        registry: PreviewRegistry,
        slots: SpareSlots,
        log_store: LogStore,
        draining: trio.Event,
    ) -> None:
        self._nursery = nursery
        self._context = context
        self._registry = registry
        self._slots = slots
        self._log_store = log_store
        self._draining = draining

    def has(self, preview_id: str) -> bool:
        """Return True for the id of a trial preview."""
        return any(one.id == preview_id for one in self._registry.trials)

    @asynccontextmanager
    async def open(self, request: TrialRequest) -> AsyncIterator[LivePreview]:
        """Launch a trial preview, and yield it when it serves. It is gone when the context is left.

        Raises:
            LimitReached, NoPortFree, ServiceStopping, DiskFull: A limit is reached.
            LaunchesStopped: The operator has stopped launches.
            IsolationBelowMinimum: The service lacks the least isolation level of the user's tier.
            LaunchFailed, StartupTimeout, PreviewError: It does not start; ``details`` has its last lines.

        Cancellation: the trial is stopped within the stop budget.
        """
        generation = request.generation
        settings = await self._context.settings_of(request.user.id, generation.project_id, request.preset)
        user, project_id, rollout = request.user, generation.project_id, self._context.rollout
        subject = Subject(user.id, user.tier or "free", project_id)
        if rollout is not None:
            subject = await rollout.subject(user.id, user.tier, project_id)
        preview = self._claim(request, settings, subject)
        try:
            await preview.settled.wait()
            if preview.record.state is not State.RUNNING:
                await preview.over.wait()
                raise with_last_lines(preview.cause, preview)
            yield preview
        finally:
            preview.request_stop(StopCause.USER)
            with trio.move_on_after(self._context.settings.stop_budget_s, shield=True):
                await preview.over.wait()

    def _claim(self, request: TrialRequest, launch_settings: ResolvedSettings, subject: Subject) -> LivePreview:
        """Check the limits and claim a port in one step, without an await (guarantee 7)."""
        settings, generation = self._context.settings, request.generation
        if self._draining.is_set():
            raise ServiceStopping("The service is shutting down and launches nothing more; try again in a moment.")
        check_free_disk(settings)
        self._registry.check_trial(request.user, settings.trials)
        arm = choose_arm(self._context, subject)
        context, settings = self._context_for(request, arm.context), arm.context.settings
        slot = self._slots.new(lambda slot: self._nursery.start_soon(partial(self._run, slot, context), name=slot.id))
        tier = settings.tier(request.user.tier, request.user.id)
        record, _ = new_record(
            settings,
            now=context.now(),
            preview_id=slot.id,
            user=request.user,
            tier=tier,
            generation_id=generation.id,
            project_id=generation.project_id,
            port=slot.port,
            runtime=context.runtime.name,
        )
        expires_at = min(record.expires_at, record.created_at + timedelta(seconds=settings.trial_max_s))
        preview = LivePreview(
            replace(record, expires_at=expires_at),
            settings=settings,
            tier=tier,
            log=PreviewLog(record.id, settings=settings, writer=context.writer, store=self._log_store),
            listener=slot.listener,
            scope=slot.scope,
            startup_timeout_s=settings.startup_timeout_s,
            overrides=request.overrides,
            launch_settings=launch_settings,
            first_data=request.first_data,
            flags=arm.choices,
        )
        self._registry.add_trial(preview)
        slot.take(preview)
        return preview

    def _context_for(self, request: TrialRequest, context: SupervisorContext) -> SupervisorContext:
        """Return the shared state with hidden rows. Other start options and files do not enter the history."""
        return replace(
            context,
            store=context.store.hidden(),
            observers=list(request.observers),
            history=context.history if request.is_ordinary else StartHistory(),
            source=request.source or context.source,
        )

    async def _run(self, slot: PreviewSlot, context: SupervisorContext) -> None:
        """Run one trial; then delete its row and lines, and wake its waiters."""
        try:
            await run_preview(slot, context)
        finally:
            if slot.preview is not None:
                with trio.move_on_after(_DELETE_S, shield=True):
                    await self._delete()
                self._registry.remove_trial(slot.preview)
                slot.preview.over.set()

    async def _delete(self) -> None:
        try:
            await self._context.store.delete_disowned()
        except PreviewError as error:
            # The cleanup deletes it.
            log.info("trial not deleted yet", error=error.message)
