"""The life of one preview, in one task: leaving it, for whatever reason, tears all of it down.

Two sorts of endings meet here. What ends a preview from outside or from a watcher (stop, expiry, exit) is decided
synchronously on ``LivePreview`` and cancels its scope; what goes wrong on the way to a running process is raised.
Both are settled in ``conclude``, under a bounded shield.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import structlog
import trio

from preview.core.descriptors import is_want_of_descriptors
from preview.core.launch_steps import ENVIRONMENT, FILES, PROCESS
from preview.core.lifecycle import State
from preview.detection import StartPlan
from preview.environments import Environment
from preview.errors import LaunchFailed, PreviewError, StartupTimeout
from preview.supervisor.diagnosis.needs import watch_needs
from preview.supervisor.launch.planning import open_environment
from preview.supervisor.launch.preparation import EnvironmentLeases, decide, prepare_launch, report_to, tell_plan, whose
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.saving import FLUSH_S, STORE_S, save, save_stopping
from preview.supervisor.launch.start_history import StartRecord
from preview.supervisor.launch.start_queue import StartSlot, SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch, run_steps
from preview.supervisor.launch.workspace import Workspace, open_workspace, put_aside
from preview.supervisor.life.persistence import conclude
from preview.supervisor.life.reserving import PreviewSlot, keep_cgroup_lock_warm, made_ahead, reserving
from preview.supervisor.life.speculative_start import SpeculativeStart, open_speculative_start
from preview.supervisor.life.watch import watch_deadlines, watch_health
from preview.supervisor.limits.watch_disk import watch_disk
from preview.supervisor.preview.confinement import confinement_for
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.network import choose_network
from preview.supervisor.preview.service_log import log_transition
from preview.supervisor.process.process_replacement import ProcessReplacer
from preview.supervisor.process.processes import Processes
from preview.supervisor.process.server_process import StartedProcess
from preview.supervisor.process.snapshots import Snapshots

log = structlog.get_logger(__name__)


async def run_preview(place: PreviewSlot, context: SupervisorContext) -> None:
    """Hold a place until it is taken, and live its preview to the end; nothing more, where nobody takes it.

    One task in the service's nursery; ``place.scope`` is the stop button. Errors of the preview are its own state and
    never leave this function.

    Cancellation: as a stop: processes, port, folders and subscribers are gone and the row says so, all within the stop
    budget; then ``Cancelled`` goes on.
    """
    try:
        with place.listener, place.scope:
            await _hold(place, context)
    except (PreviewError, OSError) as error:
        _fail(place, error)
    except Exception as error:
        first = _first(error)
        if isinstance(first, OSError) and is_want_of_descriptors(error):
            _fail(place, first)
            return
        log.exception("preview failed unexpectedly", preview_id=place.id)
        name = type(first).__name__
        _fail(place, LaunchFailed(f"The service could not run this preview ({name}); see its own log."))
    finally:
        if place.preview is not None:
            with trio.move_on_after(FLUSH_S + STORE_S, shield=True):
                await conclude(place.preview, context)


async def _hold(place: PreviewSlot, context: SupervisorContext) -> None:
    async with open_workspace(context.settings, place.id) as workspace:
        if place.preview is not None:
            await _live(place.preview, context, workspace)
            return
        async with made_ahead(place, context, workspace) as gone:
            preview = await place.wait_taken(gone)
            if preview is not None:
                await _live(preview, context, workspace)


async def _live(preview: LivePreview, context: SupervisorContext, workspace: Workspace) -> None:
    keep_cgroup_lock_warm(context)
    preview.directory = workspace.project
    began = trio.current_time()
    try:
        why = await _start(preview, context, workspace, began)
        if why is not None:
            await put_aside(workspace)
            await _start(preview, context, workspace, began, anew=why)
    finally:
        preview.directory = None


async def _start(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, began: float, *, anew: str | None = None
) -> str | None:
    """Run the preview; a string says why the speculative start does not match its files.

    Then nothing of it runs, and the folders are as it has left them.

    Args:
        preview: Whose.
        context: For what all previews share.
        workspace: Its folders are empty.
        began: When the first attempt did.
        anew: Why it was not that; then nothing is started early.
    """
    known = context.known.find(preview.record.generation_id, whose(preview))
    async with reserving(preview, context, workspace, known):
        await _write_files(preview, context, workspace)
        async with nullcontext() if anew else open_speculative_start(preview, context, workspace, known) as early:
            study = await _decide(preview, context, workspace, early)
            if isinstance(study, str):
                return study
            await _accept(preview, context, workspace, study.plan, began)
            if anew:
                preview.log.say(f"started like the last one, and now again: {anew}")
            return await _in_environment(preview, context, workspace, study, early)


async def _write_files(preview: LivePreview, context: SupervisorContext, workspace: Workspace) -> None:
    with trio.move_on_after(preview.startup_timeout_s) as scope:
        await context.source.write_files(preview.record.generation_id, workspace.project)
    if scope.cancelled_caught:
        raise StartupTimeout(
            f"The generation's files did not come within {preview.startup_timeout_s:g} s.",
            timeout_s=preview.startup_timeout_s,
        )


async def _decide(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, early: SpeculativeStart | None
) -> ProjectAnalysis | str:
    """Decide the start and the network; a string says why it differs from the started one."""
    try:
        study = await decide(preview, context, workspace, is_still=early is None)
        preview.confinement = confinement_for(
            context.settings, context.runtime, choose_network(context.settings, study.plan)
        )
        why = None if early is None else await early.differs(study)
    except Exception as error:
        if early is None or isinstance(error, StartupTimeout):
            raise
        # It may be what has started that stands in the way: with nothing beside it they are read again.
        if isinstance(error, PreviewError):
            return error.message
        log.warning("project analysis failed", preview_id=preview.id, exc_info=True)
        return "its files could not be read beside it"
    return why or study


async def _accept(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, plan: StartPlan, began: float
) -> None:
    """Store the row: from here on the preview exists for everybody. A second time only what it says is set."""
    preview.record = replace(preview.record, health_path=plan.health_path or "/", directory=str(workspace.root))
    if preview.stored:
        return
    await context.store.insert(preview.record)
    preview.stored = True
    # From here on the service's log owes it an end: after a crash its row tells the next start.
    log_transition(preview.record)
    preview.accepted.set()
    if preview.confinement is not None:
        preview.log.say(preview.confinement.sentence())
    preview.log.say(f"files ready in {trio.current_time() - began:.2f} s")
    preview.progress.finish(FILES)
    tell_plan(preview, plan)


async def _in_environment(
    preview: LivePreview,
    context: SupervisorContext,
    workspace: Workspace,
    study: ProjectAnalysis,
    early: SpeculativeStart | None,
) -> str | None:
    """Run the preview in its environment like ``_start``; a string says why the early start is discarded."""
    preview.progress.start(ENVIRONMENT)
    async with open_environment(context, study, workspace.project, report_to(preview)) as environment:
        if early is not None and early.runs:
            why = early.go_on(environment)
            if why is None:
                _note(preview, context, environment, study)
                await _serve(preview, context, early.prepared, early.turn, early.under_way)
            return why
        _note(preview, context, environment, study)
        prepared = prepare_launch(preview, context, workspace, study, environment)
        async with context.starting.open_turn(partial(_tell_waiting, preview)) as turn:
            await run_steps(preview, prepared)
            await _serve(preview, context, prepared, turn)
    return None


def _note(preview: LivePreview, context: SupervisorContext, environment: Environment, study: ProjectAnalysis) -> None:
    preview.log.say(environment.said)
    how = f"{environment.how}, {environment.language}" if environment.language else environment.how
    preview.progress.finish(ENVIRONMENT, how, reused=environment.how != "built")
    record = preview.record
    context.known.note(StartRecord(record.generation_id, record.project_id, record.user_id, environment, study))


def _tell_waiting(preview: LivePreview, ahead: int) -> None:
    preview.log.say(f"it waits for its turn: {ahead} {'start is' if ahead == 1 else 'starts are'} ahead")


async def _serve(
    preview: LivePreview,
    context: SupervisorContext,
    prepared: PreparedLaunch,
    turn: StartSlot,
    under_way: StartedProcess | None = None,
) -> None:
    """Run the preview's nurseries: environments end after their processes, these after their watchers."""
    async with trio.open_nursery() as holders:
        holds, snapshots = EnvironmentLeases(holders), Snapshots(preview, holders)
        served: list[Processes] = []
        try:
            async with trio.open_nursery() as servings:
                processes = Processes(preview, context.settings, servings, holds, snapshots)
                served.append(processes)
                await _supervise(preview, context, prepared, processes, servings, turn, under_way)
        finally:
            snapshots.retire()
            holds.release()
            preview.exit = next((one.exit for one in served), None)


async def _supervise(
    preview: LivePreview,
    context: SupervisorContext,
    prepared: PreparedLaunch,
    processes: Processes,
    servings: trio.Nursery,
    turn: StartSlot,
    under_way: StartedProcess | None,
) -> None:
    """Start the first process, then watch over the preview, whichever of its processes serves."""
    services, since_seq = prepared.plan.services, preview.log.last_seq
    preview.progress.start(PROCESS)
    try:
        first = await processes.start(prepared, under_way)
        processes.take(first)
    except (PreviewError, OSError) as error:
        # Out of a nursery it would come in a group.
        preview.fail(_as_failure(preview, error))
        return
    preview.progress.finish(PROCESS, f"port {preview.record.port}", reused=under_way is not None)
    try:
        async with trio.open_nursery() as watchers:
            watchers.start_soon(_give_back, turn, preview)
            watchers.start_soon(watch_deadlines, preview)
            watchers.start_soon(watch_disk, preview, processes.members, prepared.disk)
            # The pid is in the row before the app can do much: a crash of the service finds it there.
            watchers.start_soon(save, preview, context)
            watchers.start_soon(partial(watch_needs, preview, services, since_seq=since_seq))
            watchers.start_soon(processes.watch_exits)
            watchers.start_soon(ProcessReplacer(preview, context, processes, watchers).run)
            await watch_health(preview, context, prepared.plan.health_path)
    finally:
        if preview.record.state is State.STOPPING:
            servings.start_soon(save_stopping, preview, context)


async def _give_back(turn: StartSlot, preview: LivePreview) -> None:
    """Release the start slot, as the preview has started. Cancellation: nothing changes."""
    await preview.settled.wait()
    turn.give_back()


def _fail(place: PreviewSlot, error: PreviewError | OSError) -> None:
    if place.preview is None:
        log.info("spare slot failed", preview_id=place.id, why=str(error))
    else:
        place.preview.fail(_as_failure(place.preview, error))


def _as_failure(preview: LivePreview, error: PreviewError | OSError) -> PreviewError:
    if isinstance(error, PreviewError):
        return error
    why = error.strerror or str(error)
    log.error("preview setup failed", preview_id=preview.id, why=why, path=error.filename)
    if is_want_of_descriptors(error):
        return LaunchFailed(
            f"The service could not set this preview up: {why}; try again, or raise the service's limit of open files."
        )
    return LaunchFailed(f"The service could not set this preview up: {why}; see its data folder.")


def _first(error: BaseException) -> BaseException:
    """Return the error from a nursery without its group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
