"""The life of one preview, in one task: leaving the task tears everything down.

A preview ends in two ways. A stop, an expiry or a process exit is decided synchronously on ``LivePreview``, which
cancels its scope. An error during the launch is raised. ``conclude`` handles both, under a shield with a deadline.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog
import trio

from preview.cluster import Wants
from preview.core.descriptors import is_want_of_descriptors
from preview.core.launch_steps import CLAIM, ENVIRONMENT, FILES, PLAN, PROCESS
from preview.core.lifecycle import State
from preview.detection import Server, StartPlan
from preview.environments import Environment
from preview.errors import DiskFull, EnvironmentFailed, LaunchFailed, PreviewError
from preview.logs import Level
from preview.storage import Carried
from preview.supervisor.diagnosis.diagnose_network import tell_other_port
from preview.supervisor.diagnosis.logged_errors import spelled_out
from preview.supervisor.diagnosis.needs import watch_needs
from preview.supervisor.diagnosis.request_failures import watch_request_failures
from preview.supervisor.launch.data import load_first_data, open_data
from preview.supervisor.launch.launch_options import LaunchOptions
from preview.supervisor.launch.planning import open_environment
from preview.supervisor.launch.preparation import EnvironmentLeases, report_to, tell_plan, write_files
from preview.supervisor.launch.project_analysis import ProjectAnalysis
from preview.supervisor.launch.saving import FLUSH_S, STORE_S, save, save_stopping
from preview.supervisor.launch.start_history import StartRecord
from preview.supervisor.launch.start_queue import FAREWELL_S, StartSlot, SupervisorContext
from preview.supervisor.launch.steps import run_first_steps
from preview.supervisor.launch.workspace import Workspace, open_workspace, put_aside, remove_aside
from preview.supervisor.life.persistence import conclude, leave_to_others
from preview.supervisor.life.prestart import FirstStart, NullPrestart, open_prestart
from preview.supervisor.life.preview_slot import PreviewSlot, open_preview, warm_migration_lock
from preview.supervisor.life.watch import open_launch_watch, watch_health
from preview.supervisor.limits.databases import watch_databases
from preview.supervisor.limits.watch_disk import watch_disk
from preview.supervisor.mending import Mender, with_folders
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.service_log import log_transition
from preview.supervisor.process.probe import answers_any
from preview.supervisor.process.process_replacement import ProcessReplacer
from preview.supervisor.process.processes import Processes
from preview.supervisor.process.snapshots import Snapshots
from preview.supervisor.process.startup_limit import measure_wait

log = structlog.get_logger(__name__)

# Lines of a failed step that are read for a mend.
_LAST_LINES = 200
# Seconds from the launch after which no attempt begins.
_ATTEMPTS_S = 600.0
# Time to find out whether another node could take a launch that failed here.
_LEAVE_S = 0.5


async def run_preview(slot: PreviewSlot, context: SupervisorContext) -> None:
    """Keep a slot until a preview takes it, then run the preview to its end. Returns if no preview takes the slot.

    One task in the service's nursery; cancelling ``slot.scope`` stops it. Errors of the preview become its state and
    never leave this function.

    Cancellation: like a stop. Processes, port, folders and subscribers are gone and the row is final within the stop
    budget; then ``Cancelled`` propagates.
    """
    try:
        with slot.listener, slot.scope:
            async with (
                open_workspace(context.settings, slot.id) as workspace,
                _open_inner_listener(slot, context),
                open_preview(slot, context, workspace) as preview,
            ):
                if preview is not None:
                    preview.inner = slot.inner
                    await _launch(preview, replace(context, settings=preview.settings), workspace)
    except (PreviewError, OSError) as error:
        _fail(slot, error)
    except Exception as error:
        first = _first(error)
        if isinstance(first, OSError) and is_want_of_descriptors(error):
            _fail(slot, first)
            return
        log.exception("preview failed unexpectedly", preview_id=slot.id)
        name = type(first).__name__
        _fail(slot, LaunchFailed(f"The service could not run this preview ({name}); see its own log."))
    finally:
        if slot.preview is not None:
            # Of its own, so that a slow database leaves the whole time to the end.
            with trio.move_on_after(_LEAVE_S, shield=True):
                await leave_to_others(slot.preview, context)
            with trio.move_on_after(FLUSH_S + STORE_S, shield=True):
                await conclude(slot.preview, context)


@asynccontextmanager
async def _open_inner_listener(slot: PreviewSlot, context: SupervisorContext) -> AsyncIterator[None]:
    """Open the slot's inner socket, if its processes need one. Cancellation: forwarded connections are closed."""
    async with context.runtime.open_inner_listener(slot.listener) as slot.inner:
        yield


async def _launch(preview: LivePreview, context: SupervisorContext, workspace: Workspace) -> None:
    """Run one launch: files, plan, row, environment, steps, process. Returns when the preview has ended."""
    launched_at = trio.current_time()
    warm_migration_lock(context)
    preview.directory = workspace.project
    preview.mends = context.history.mends_of(preview.record)
    preview.mends.until = launched_at + _ATTEMPTS_S
    try:
        async with (
            context.backing.open_servers(preview.id, preview.record.port or 0) as preview.servers,
            open_launch_watch(preview),
            open_prestart(preview, context, workspace) as prestart,
        ):
            await write_files(preview, context, workspace)
            with preview.progress.part(PLAN):
                analysis = await prestart.decide()
            await _store_row(preview, context, workspace, analysis.plan, launched_at)
            if preview.mends.said:
                preview.log.say(f"kept from the last launch: {'; '.join(preview.mends.said)}")
            start: NullPrestart = prestart
            while await _attempt_or_take_back(preview, context, workspace, start, analysis):
                start = NullPrestart(preview, context, workspace)
                analysis = await _decide_again(preview, context, workspace, start, analysis)
    finally:
        with trio.move_on_after(FAREWELL_S, shield=True):
            for say_farewell in context.farewells:
                await say_farewell(preview)
        preview.directory = None


async def _attempt_or_take_back(
    preview: LivePreview,
    context: SupervisorContext,
    workspace: Workspace,
    start: NullPrestart,
    analysis: ProjectAnalysis,
) -> bool:
    """Run one attempt. If packages of the newest mend cannot be installed, take it back; another attempt follows.

    So the failure that is reported is the program's own, and not one of a mend.

    Raises:
        PreviewError: The preview cannot start.

    Cancellation: the processes are gone.
    """
    try:
        return await _attempt(preview, context, workspace, start, analysis)
    except EnvironmentFailed as error:
        if not preview.mends.take_back():
            raise
        preview.log.say(f"{error.message.rstrip('.')}; starting again without what was added", Level.WARNING)
        return True


async def _attempt(
    preview: LivePreview,
    context: SupervisorContext,
    workspace: Workspace,
    start: NullPrestart,
    analysis: ProjectAnalysis,
) -> bool:
    """Run one attempt of a launch, to the preview's end. Return True if it failed and is mended: another one follows.

    Raises:
        PreviewError: The preview cannot start.

    Cancellation: the processes are gone.
    """
    since_seq = preview.log.last_seq
    mends = preview.mends
    plan = with_folders(analysis.plan, mends.folders, mends.links, mends.left_out)
    analysis = replace(analysis, plan=plan)
    with trio.CancelScope() as scope:
        offline = context.settings.uv_offline
        shown = (context.settings.cache_dir, context.settings.data_dir)
        mender = Mender(preview, scope, analysis, context.analyses, shown=shown, is_offline=offline)
        try:
            async with (
                _open_environment(preview, context, workspace, analysis) as environment,
                start.adopt_or_discard(analysis, environment) as first,
            ):
                has_data = await load_first_data(preview, context, first.prepared)
                preview.mends.offer = mender.offer
                preview.mends.offer_step = partial(mender.offer, is_step=True, is_optional=True)
                failed: LaunchFailed | None = None
                try:
                    await run_first_steps(preview, first.prepared, has_data=has_data)
                except LaunchFailed as error:
                    failed = error
                if failed is None:
                    await _serve(preview, context, first)
                elif not await _offer_step(mender, failed, preview.output_since(since_seq, _LAST_LINES)):
                    raise failed
        finally:
            preview.mends.offer = preview.mends.offer_step = None
    return mender.found is not None and preview.outcome is None


async def _offer_step(mender: Mender, failed: LaunchFailed, lines: Sequence[str]) -> bool:
    """Offer a step that has failed by itself: one that met a limit tells nothing. Cancellation: nothing changes."""
    return "exit_code" in failed.details and await mender.offer(spelled_out(lines), is_step=True)


async def _decide_again(
    preview: LivePreview,
    context: SupervisorContext,
    workspace: Workspace,
    start: NullPrestart,
    before: ProjectAnalysis,
) -> ProjectAnalysis:
    """Fill the folders again, without what the failed attempt has left, and analyse the project with the mends.

    Cancellation: some of the files may exist.
    """
    preview.exit = None
    preview.record = replace(preview.record, pid=None, pid_start_ticks=None, boot_id=None)
    preview.progress.again()
    for server in preview.servers.all():
        await server.reset()
    await put_aside(workspace)
    await write_files(preview, context, workspace)
    with preview.progress.part(PLAN):
        analysis = await start.decide()
    tell_plan(preview, analysis.plan, before.plan)
    # Only now: see ``put_aside``. No process runs yet, so the limit of the disk holds.
    await remove_aside(workspace)
    return analysis


async def _store_row(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, plan: StartPlan, launched_at: float
) -> None:
    """Store the row: from here on the preview is visible to all readers of the database."""
    preview.record = replace(preview.record, health_path=plan.health_path or "/", directory=str(workspace.root))
    with preview.progress.part(CLAIM):
        if context.cluster is not None and context.owns(preview.id):
            # It comes from another node.
            await context.store.update(preview.record)
        else:
            await context.store.insert(preview.record, preview.tier.max_previews, _carried(preview, context))
    preview.stored = True
    for observe in context.observers:
        observe(preview)
    # From here on the end must be logged too; after a crash, the next start of the service finds the row.
    log_transition(preview.record)
    preview.accepted.set()
    if preview.confinement is not None:
        preview.log.say(preview.confinement.sentence())
    preview.log.say(f"files ready in {trio.current_time() - launched_at:.2f} s")
    preview.progress.finish(FILES)
    tell_plan(preview, plan)


def _carried(preview: LivePreview, context: SupervisorContext) -> Carried:
    """Return what another node needs to start the preview as it was launched here."""
    options = LaunchOptions(preview.tier.name, preview.startup_timeout_s, preview.requested)
    return options.carried(context, preview.id, Wants(preview.labels))


@asynccontextmanager
async def _open_environment(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, analysis: ProjectAnalysis
) -> AsyncIterator[Environment]:
    """Open the environment and record it in the start history. Cancellation: an unfinished build leaves nothing."""
    preview.progress.start(ENVIRONMENT)
    report, owner = report_to(preview), preview.record.user_id
    async with open_environment(context, analysis, workspace.project, report, owner=owner) as environment:
        preview.log.say(environment.said)
        how = f"{environment.how}, {environment.language}" if environment.language else environment.how
        preview.progress.finish(ENVIRONMENT, how, reused=environment.how != "built")
        record = preview.record
        context.history.note(
            StartRecord(record.generation_id, record.project_id, record.user_id, environment, analysis)
        )
        yield environment


async def _serve(preview: LivePreview, context: SupervisorContext, first: FirstStart) -> None:
    """Run the preview's nurseries. Watchers end first, then processes, then the environments they run in."""
    async with trio.open_nursery() as holders:
        leases, snapshots = EnvironmentLeases(holders), Snapshots(preview, holders)
        served: list[Processes] = []
        try:
            async with trio.open_nursery() as servings:
                processes = Processes(preview, context.settings, servings, leases, snapshots)
                served.append(processes)
                await _supervise(preview, context, first, processes, servings)
        finally:
            snapshots.retire()
            leases.release()
            preview.exit = next((one.exit for one in served), None)


async def _supervise(
    preview: LivePreview, context: SupervisorContext, first: FirstStart, processes: Processes, servings: trio.Nursery
) -> None:
    """Start the first process, then supervise the preview and all its later processes."""
    prepared = first.prepared
    services, since_seq = prepared.plan.services, preview.log.last_seq
    preview.progress.start(PROCESS)
    try:
        processes.take(await processes.start(prepared, first.started))
    except (PreviewError, OSError) as error:
        # Recorded, not raised: a nursery would wrap the error in a group.
        preview.fail(_as_failure(preview, error))
        return
    preview.find_all = lambda: processes.members if processes.can_be_stopped else None
    preview.progress.finish(PROCESS, f"port {preview.record.port}", reused=first.started is not None)
    try:
        async with trio.open_nursery() as watchers:
            watchers.start_soon(_release_slot, first.slot, preview, context)
            watchers.start_soon(watch_disk, preview, processes.members, prepared.disk)
            watchers.start_soon(watch_databases, preview, context.settings)
            # Store the pid before the app can do much, so that the service finds the process after a crash.
            watchers.start_soon(save, preview, context)
            answers = partial(answers_any, preview.socket_address, "/", prepared.plan.health_path)
            waits = partial(measure_wait, preview.record.pid)
            watchers.start_soon(
                partial(watch_needs, preview, services, since_seq=since_seq, answers=answers, measure_wait=waits)
            )
            watchers.start_soon(watch_request_failures, preview, prepared.plan)
            if prepared.plan.server is Server.COMMAND:
                watchers.start_soon(tell_other_port, preview)
            watchers.start_soon(processes.watch_exits)
            watchers.start_soon(
                preview.inside.run,
                lambda: open_data(preview, context, processes.current.prepared, processes.members),
            )
            watchers.start_soon(ProcessReplacer(preview, context, processes, watchers).run)
            await watch_health(preview, context, prepared.plan.health_path, since_seq=since_seq)
    finally:
        if preview.record.state is State.STOPPING:
            servings.start_soon(save_stopping, preview, context)


async def _release_slot(slot: StartSlot, preview: LivePreview, context: SupervisorContext) -> None:
    """Release the start slot and keep the mends once the preview is up. Cancellation: the slot's opener releases it."""
    await preview.settled.wait()
    slot.release()
    if preview.record.state is State.RUNNING:
        context.history.note_mends(preview.record, preview.mends)


def _fail(slot: PreviewSlot, error: PreviewError | OSError) -> None:
    if slot.preview is None:
        log.info("spare slot failed", preview_id=slot.id, why=str(error))
    else:
        slot.preview.fail(_as_failure(slot.preview, error))


def _as_failure(preview: LivePreview, error: PreviewError | OSError) -> PreviewError:
    if isinstance(error, PreviewError):
        return error
    why = error.strerror or str(error)
    log.error("preview setup failed", preview_id=preview.id, why=why, path=error.filename)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"The disk with the service's data is full ({why}), so the launch failed; free some space.")
    if is_want_of_descriptors(error):
        return LaunchFailed(
            f"The service could not set this preview up: {why}; try again, or raise the service's limit of open files."
        )
    return LaunchFailed(f"The service could not set this preview up: {why}; see its data folder.")


def _first(error: BaseException) -> BaseException:
    """Unwrap the first error of nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
