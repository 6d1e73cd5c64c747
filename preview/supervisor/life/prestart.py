"""Speculative starts: a reserved fork runs like the project's last launch while the new files are analysed.

A project's code changes between generations, but its start plan mostly does not. The reserved fork starts while the
files are read, which saves a tenth to a quarter of a launch of new code (``benchmarks/launch.py``). If the new plan
differs, the process is ended and the folders are filled again: neither its output nor its files reach the preview.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from preview.core.isolation import Network
from preview.detection import GIVEN, Origin
from preview.environments import Environment
from preview.errors import PreviewError, StartupTimeout
from preview.runtime import SpeculativeProcess
from preview.supervisor.launch.data import has_first_data
from preview.supervisor.launch.planning import environment_key
from preview.supervisor.launch.preparation import choose_runtime, decide, prepare_launch, whose, write_files
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.start_history import StartRecord, early_spec
from preview.supervisor.launch.start_queue import StartSlot, SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.launch.variables import keep_made_up
from preview.supervisor.launch.workspace import Workspace, put_aside
from preview.supervisor.preview.confinement import confinement_for
from preview.supervisor.preview.control import open_control
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import choose_network
from preview.supervisor.process.server_process import StartedProcess, serving_spec

log = structlog.get_logger(__name__)

# Variables of these origins belong to one generation: its files or its launch request set them.
_GIVEN = frozenset({Origin.PROJECT, Origin.REQUEST})
_OVERRIDES = GIVEN - {Origin.PROJECT}
# Process number of a speculative process: the first of its preview.
_FIRST = 1


class Mismatch(StrEnum):
    """Reasons why a speculative process does not match its launch, as logged."""

    UNREADABLE = "the files could not be read while it started"
    NOT_STARTED = "it could not be started"
    STEPS = "steps run before the application"
    ENVIRONMENT = "the environment changed"
    PROCESS = "the command, variables, network or imports changed"
    REBUILT = "the environment was built again"
    TEMPLATE = "its template was replaced"


@dataclass(frozen=True, slots=True)
class FirstStart:
    """The start of a preview's first process.

    Attributes:
        prepared: The prepared launch.
        slot: Its slot in the start queue.
        started: The speculative process that the launch adopts; None: start a new process.
    """

    prepared: PreparedLaunch
    slot: StartSlot
    started: StartedProcess | None = None


class NullPrestart:
    """A launch without a speculative start.

    Args:
        preview: The preview to launch.
        context: State shared by all previews.
        workspace: The preview's folders.
    """

    def __init__(self, preview: LivePreview, context: SupervisorContext, workspace: Workspace) -> None:
        self._preview = preview
        self._context = context
        self._workspace = workspace

    async def decide(self) -> ProjectAnalysis:
        """Analyse the project and decide the preview's network. The files must be in place.

        Raises:
            StartupTimeout, TooComplex, AnalysisFailed, PreviewError: See ``preparation.decide``.

        Cancellation: the process that reads the files is killed.
        """
        return await self._read(is_still=True)

    @asynccontextmanager
    async def adopt_or_discard(self, analysis: ProjectAnalysis, environment: Environment) -> AsyncIterator[FirstStart]:
        """Prepare the first process and wait for a slot in the start queue.

        Args:
            analysis: Result of ``decide``.
            environment: Leased for as long as this context is open.

        Cancellation: the slot is free for the next launch.
        """
        prepared = prepare_launch(self._preview, self._context, self._workspace, analysis, environment)
        async with self._context.start_queue.open_slot(self._say_queued, is_urgent=self._preview.has_run) as slot:
            yield FirstStart(prepared, slot)

    async def _read(self, *, is_still: bool) -> ProjectAnalysis:
        context = self._context
        analysis = await decide(self._preview, context, self._workspace, is_still=is_still)
        network = choose_network(context.settings, analysis.plan)
        confinement = self._preview.confinement = confinement_for(
            context.settings, choose_runtime(context, analysis.plan), network
        )
        self._preview.supply(analysis.plan, confinement.network)
        context.backing.want(analysis.plan.services)
        return analysis

    def _say_queued(self, before: int) -> None:
        self._preview.log.say(f"queued: {before} {'launch' if before == 1 else 'launches'} ahead")


@dataclass(slots=True)
class _Running:
    """A speculative process with its inputs; ``adopt_or_discard`` passes them to the launch."""

    process: SpeculativeProcess
    prepared: PreparedLaunch
    started: StartedProcess
    slot: StartSlot


class Prestart(NullPrestart):
    """A launch whose reserved fork runs like the project's last launch. Made by ``open_prestart`` alone.

    Invariant: after a discard no speculative process runs, and the folders contain only the generation's files.

    Args:
        preview, context, workspace: See ``NullPrestart``.
        record: The last launch.
        held: Ends the speculative process and its resources, unless the launch adopts them.
    """

    def __init__(
        self,
        preview: LivePreview,
        context: SupervisorContext,
        workspace: Workspace,
        record: StartRecord,
        held: AsyncExitStack,
    ) -> None:
        super().__init__(preview, context, workspace)
        self._record = record
        self._held = held
        self._running: _Running | None = None
        self._mismatch: Mismatch | None = None

    async def decide(self) -> ProjectAnalysis:
        """Analyse the project while the speculative process runs; on a mismatch, read the files again.

        Cancellation: the process that reads the files is killed; the speculative process ends with ``open_prestart``.
        """
        running = self._running = await self._start()
        if running is None:
            return await self._read(is_still=True)
        try:
            analysis = await self._read(is_still=False)
            mismatch = await self._compare(running, analysis)
        except StartupTimeout:
            raise
        except Exception as error:
            is_mistake = not isinstance(error, PreviewError)
            log.info(
                "speculative start files unreadable",
                preview_id=self._preview.id,
                why=str(error),
                exc_info=is_mistake,
            )
            mismatch = Mismatch.UNREADABLE
        if mismatch is None:
            return analysis
        await self._discard(running, mismatch)
        return await self._read(is_still=True)

    @asynccontextmanager
    async def adopt_or_discard(self, analysis: ProjectAnalysis, environment: Environment) -> AsyncIterator[FirstStart]:
        """Prepare the first process: adopt the speculative process if it still matches, else discard it.

        Cancellation: see ``NullPrestart``; a process that is not adopted is gone.
        """
        running = self._running
        mismatch = None if running is None else _compare_environment(running, environment)
        if running is not None and mismatch is None:
            # From here on the speculative process counts as the preview's first process.
            self._preview.next_number()
            yield FirstStart(replace(running.prepared, environment=environment), running.slot, running.started)
            return
        if running is not None and mismatch is not None:
            await self._discard(running, mismatch)
        if self._mismatch is not None:
            self._preview.log.say(f"restarted: the speculative start did not match ({self._mismatch})")
        async with super().adopt_or_discard(analysis, environment) as first:
            yield first

    async def _start(self) -> _Running | None:
        """Start the reserved fork. Returns None without a fork or without a free slot in the start queue."""
        opened = self._held.enter_context(ExitStack())
        slot = opened.enter_context(self._context.start_queue.open_slot_now())
        ready = None if slot is None else self._prepare(opened)
        if slot is not None and ready is not None:
            prepared, started = ready
            process = await self._held.enter_async_context(self._context.runtime.speculate(started.spec))
            if process is not None:
                return _Running(process, prepared, started, slot)
        opened.close()
        return None

    def _prepare(self, opened: ExitStack) -> tuple[PreparedLaunch, StartedProcess] | None:
        """Prepare the speculative process; None if it cannot start."""
        preview, record = self._preview, self._record
        try:
            preview.supply(record.analysis.plan, Network.NONE)
            self._context.backing.want(record.analysis.plan.services)
            prepared = prepare_launch(preview, self._context, self._workspace, record.analysis, record.environment)
            channel = opened.enter_context(ExitStack())
            control = channel.enter_context(open_control())
            return prepared, StartedProcess(serving_spec(preview, prepared, control, number=_FIRST), control, channel)
        except (PreviewError, OSError) as error:
            log.debug("no speculative start", preview_id=preview.id, why=str(error))
            return None

    async def _compare(self, running: _Running, analysis: ProjectAnalysis) -> Mismatch | None:
        """Return the mismatch with these files. None: the process matches, or none of its code has run.

        Raises:
            EnvironmentFailed: A manifest cannot be read.
            LaunchFailed: A folder or a program is missing.
        """
        if not await running.process.wait():
            if running.process.has_run:
                return Mismatch.NOT_STARTED
            self._release(running)
            return None
        before, workspace = running.prepared, self._workspace
        if analysis.plan.steps:
            return Mismatch.STEPS
        owner = self._preview.record.user_id
        if await environment_key(self._context, analysis, workspace.project, owner=owner) != before.environment.key:
            return Mismatch.ENVIRONMENT
        prepared = prepare_launch(self._preview, self._context, workspace, analysis, before.environment)
        if prepared.runtime is not before.runtime:
            return Mismatch.PROCESS
        variables = keep_made_up(analysis.plan, prepared.variables, before.plan, before.variables)
        prepared = replace(prepared, variables=variables)
        spec = serving_spec(self._preview, prepared, running.started.control, number=_FIRST)
        if not running.process.is_for(spec):
            return Mismatch.PROCESS
        running.prepared, running.started = prepared, replace(running.started, spec=spec)
        return None

    async def _discard(self, running: _Running, mismatch: Mismatch) -> None:
        """End the process, and fill the folders again, without its data. Cancellation: the process is gone."""
        await running.process.end()
        for server in self._preview.servers.all():
            await server.reset()
        self._release(running)
        self._mismatch = mismatch
        await put_aside(self._workspace)
        await write_files(self._preview, self._context, self._workspace)

    def _release(self, running: _Running) -> None:
        """Release the slot and the channel; the launch continues without a speculative process."""
        running.slot.release()
        running.started.held.close()
        self._running = None


def _compare_environment(running: _Running, environment: Environment) -> Mismatch | None:
    """Return the mismatch with this leased environment; None if the process can continue in it."""
    if environment.key != running.prepared.environment.key or environment.how == "built":
        return Mismatch.REBUILT
    return None if running.process.is_for(running.started.spec) else Mismatch.TEMPLATE


@asynccontextmanager
async def open_prestart(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace
) -> AsyncIterator[NullPrestart]:
    """Reserve a fork for the likely launch, or use the fork that a spare slot has reserved.

    Cancellation: the speculative process is gone, unless the launch has adopted it.
    """
    record = context.history.find(preview.record.generation_id, whose(preview))
    spec = None
    if record is not None:
        spec = early_spec(
            context.settings,
            record,
            workspace,
            preview_id=preview.id,
            listener=preview.inner or preview.listener,
            tell=preview.log.say,
        )
    if record is None or spec is None:
        yield NullPrestart(preview, context, workspace)
        return
    if context.snapshots is not None:
        await context.snapshots.learn(preview.record.generation_id)
    async with context.runtime.reserve(spec), AsyncExitStack() as held:
        if _may_run_early(preview, context, record):
            yield Prestart(preview, context, workspace, record, held)
        else:
            yield NullPrestart(preview, context, workspace)


def _may_run_early(preview: LivePreview, context: SupervisorContext, record: StartRecord) -> bool:
    """Return True if a process like the last one can start before the analysis, and may see the same variables.

    ``StartHistory.find`` returns only launches of the same user, so the ids below need no check of the user.
    """
    plan = record.analysis.plan
    if has_first_data(preview, context):
        return False
    if plan.isolation is not None or plan.steps or choose_network(context.settings, plan) is not Network.NONE:
        return False
    origins = frozenset(one.origin for one in plan.variables.values())
    # The launch request's overrides have priority: a start with another request's overrides cannot match.
    has_overrides = preview.overrides is not None and not preview.overrides.is_empty
    if has_overrides == origins.isdisjoint(_OVERRIDES):
        return False
    if record.generation_id == preview.record.generation_id:
        return True
    if record.project_id == preview.record.project_id:
        return origins.isdisjoint(_GIVEN)
    return origins <= {Origin.SUPPLIED}
