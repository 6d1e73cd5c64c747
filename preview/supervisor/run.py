"""The life of one preview, in one task: leaving it, for whatever reason, tears all of it down.

Two sorts of endings meet here. What ends a preview from outside or from a watcher (stop, expiry, exit) is decided
synchronously on ``ActivePreview`` and cancels its scope; what goes wrong on the way to a running process is raised.
Both are settled in ``_conclude``, under a bounded shield.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog
import trio

from preview.clock import now_ms
from preview.detection import StartPlan, detect
from preview.errors import LaunchFailed, PreviewError, StartupTimeout
from preview.lifecycle import State
from preview.logs import End, Level
from preview.runtime import Exit, RunningProcess, hold_without_listening
from preview.supervisor.active import ActivePreview, Outcome
from preview.supervisor.command import listens_itself, server_argv, server_variables
from preview.supervisor.house import House
from preview.supervisor.needs import watch_needs
from preview.supervisor.planning import open_environment
from preview.supervisor.saving import FLUSH_S, STORE_S, save, save_stopping, store_end
from preview.supervisor.steps import Stage, run_steps
from preview.supervisor.variables import child_environment, tell_variables
from preview.supervisor.watch import watch_deadlines, watch_exit, watch_health, watch_usage
from preview.supervisor.workspace import Workspace, open_workspace

__all__ = ["House", "run_preview"]

log = structlog.get_logger(__name__)

# What the pipe still holds (at most 64 KiB, pipe(7)) is read in a millisecond; a descriptor that somebody outside the
# tree keeps open must not hold up the end.
_DRAIN_S = 0.5


async def run_preview(preview: ActivePreview, house: House) -> None:
    """Live ``preview`` to its end. One task in the service's nursery; ``preview.scope`` is the stop button.

    Errors of the preview are its own state and never leave this function.

    Cancellation: as a stop: processes, port, folders and subscribers are gone and the row says so, all within the stop
    budget; then ``Cancelled`` goes on.
    """
    try:
        with preview.listener, preview.scope:
            await _live(preview, house)
    except PreviewError as error:
        preview.fail(error)
    except OSError as error:
        why = error.strerror or str(error)
        log.error(  # noqa: TRY400  the machine's state (a full disk), not a mistake: no traceback helps
            "preview could not be set up", preview_id=preview.id, why=why, path=error.filename
        )
        preview.fail(LaunchFailed(f"The service could not set this preview up: {why}; see its data folder."))
    except Exception as error:
        log.exception("preview failed unexpectedly", preview_id=preview.id)
        preview.fail(LaunchFailed(f"The service could not run this preview ({type(error).__name__}); see its own log."))
    finally:
        with trio.move_on_after(FLUSH_S + STORE_S, shield=True):
            await _conclude(preview, house)


async def _live(preview: ActivePreview, house: House) -> None:
    record = preview.record
    async with open_workspace(house.settings, record.id) as workspace:
        preview.directory = workspace.project
        try:
            started = trio.current_time()
            with trio.move_on_after(preview.startup_timeout_s) as scope:
                await house.source.write_files(record.generation_id, workspace.project)
            if scope.cancelled_caught:
                raise StartupTimeout(
                    f"The generation's files did not come within {preview.startup_timeout_s:g} s.",
                    timeout_s=preview.startup_timeout_s,
                )
            plan = await _decide(preview, workspace)
            await _accept(preview, house, workspace, plan)
            preview.log.say(f"files ready in {trio.current_time() - started:.2f} s")
            _tell_plan(preview, plan)
            await _in_environment(preview, house, workspace, plan)
        finally:
            preview.directory = None


async def _decide(preview: ActivePreview, workspace: Workspace) -> StartPlan:
    """Read the project, within the start-up time.

    Cancellation: the thread that reads is left to end by its own bounds.
    """
    with trio.move_on_after(preview.startup_timeout_s):
        return await trio.to_thread.run_sync(detect, workspace.project, preview.overrides, abandon_on_cancel=True)
    raise StartupTimeout(
        f"How the project starts was not found within {preview.startup_timeout_s:g} s. Say it in preview.toml.",
        timeout_s=preview.startup_timeout_s,
    )


async def _accept(preview: ActivePreview, house: House, workspace: Workspace, plan: StartPlan) -> None:
    """Store the row: from here on the preview exists for everybody."""
    preview.record = replace(preview.record, health_path=plan.health_path or "/", directory=str(workspace.root))
    await house.store.insert(preview.record)
    preview.stored = True
    preview.accepted.set()


def _tell_plan(preview: ActivePreview, plan: StartPlan) -> None:
    for decision in plan.decisions:
        preview.log.say(decision)
    for warning in plan.warnings:
        preview.log.say(warning, Level.WARNING)
    for line in tell_variables(plan):
        preview.log.say(line)


async def _in_environment(preview: ActivePreview, house: House, workspace: Workspace, plan: StartPlan) -> None:
    def report(line: str, severity: int) -> None:
        say = partial(preview.log.say, line, Level(severity))
        # A builder's disk work, with what it has to say, is done in threads.
        if trio.lowlevel.in_trio_run():
            say()
        else:
            trio.from_thread.run_sync(say)

    async with open_environment(house, plan, workspace.project, report) as environment:
        preview.log.say(f"environment ready in {environment.elapsed_s:.2f} s ({environment.how})")
        settings = house.settings
        variables = child_environment(settings, plan, environment, workspace, preview.record.port or 0)
        stage = Stage(settings, house.runtime, plan, workspace, environment, variables)
        await run_steps(preview, stage)
        await _serve(preview, house, stage)


async def _serve(preview: ActivePreview, house: House, stage: Stage) -> None:
    """Start the application's server, and watch it to its end."""
    plan, project = stage.plan, stage.workspace.project
    port, origin = preview.record.port or 0, preview.record.base_url or ""
    if listens_itself(plan):
        hold_without_listening(preview.listener)
    spec = stage.spec(
        preview,
        server_argv(plan, stage.environment, project, port=port, origin=origin),
        _working_folder(project, plan),
        server_variables(plan, preview.listener, stage.variables),
        serves=True,
    )
    async with house.runtime.open_process(spec) as process:
        await _supervise(preview, house, plan, process)


def _working_folder(project: Path, plan: StartPlan) -> Path:
    folder = project / plan.directory
    if not folder.is_dir():
        raise LaunchFailed(
            f"The folder {plan.directory} to start in is not there; correct `directory` in preview.toml.",
            reason="missing_file",
        )
    return folder


async def _supervise(preview: ActivePreview, house: House, plan: StartPlan, process: RunningProcess) -> None:
    """The preview's nursery. The reader outlives the watchers, so that what the app says while it ends is kept."""
    identity = process.identity
    preview.record = replace(
        preview.record, pid=identity.pid, pid_start_ticks=identity.start_ticks, boot_id=identity.boot_id
    )
    preview.log.say(f"process {identity.pid} started, port {preview.record.port}")
    since_seq, drained = preview.log.last_seq, trio.Event()
    drain = trio.CancelScope(shield=True)  # bounded below, once the process has gone
    async with trio.open_nursery() as readers:
        readers.start_soon(_read, preview, process, drain, drained)
        try:
            async with trio.open_nursery() as watchers:
                watchers.start_soon(
                    partial(watch_exit, preview, process, plan.services, since_seq=since_seq, drained=drained)
                )
                watchers.start_soon(watch_deadlines, preview)
                watchers.start_soon(watch_usage, preview, process, house.settings)
                # The pid is in the row before the app can do much: a crash of the service finds it there.
                watchers.start_soon(save, preview, house)
                watchers.start_soon(partial(watch_needs, preview, plan.services, since_seq=since_seq))
                await watch_health(preview, house, plan.health_path)
        finally:
            if preview.record.state is State.STOPPING:
                readers.start_soon(save_stopping, preview, house)
            with trio.move_on_after(house.settings.stop_budget_s, shield=True):
                preview.exit = await process.stop(house.settings.stop_grace_s)
            drain.deadline = trio.current_time() + _DRAIN_S


async def _read(preview: ActivePreview, process: RunningProcess, drain: trio.CancelScope, drained: trio.Event) -> None:
    with drain:
        await preview.log.read_output(process.output)
    drained.set()


async def _conclude(preview: ActivePreview, house: House) -> None:
    """Say how it ended, to everybody, in order: log, subscribers, database, then whoever waits for it.

    Cancellation: what the database did not take is left to the cleanup; everybody else is told all the same. Called
    under a bounded shield.
    """
    try:
        outcome = preview.outcome or _interrupted(preview)
        exited = preview.exit or Exit()
        preview.record = replace(preview.record, exit_code=exited.code, exit_signal=exited.signal)
        if preview.stored:
            level = Level.ERROR if outcome.state is State.FAILED else Level.INFO
            preview.log.say(_last_words(preview, outcome), level)
        # Ahead of the change of state: whoever sees that it is over sees how many lines there will ever be.
        preview.record = replace(preview.record, last_seq=preview.log.last_seq)
        preview.move(outcome.state, outcome.reason)
        preview.log.finish(End(preview.id, outcome.state, outcome.reason, exited.code, exited.signal, now_ms()))
        if preview.stored:
            await store_end(preview, house)
    finally:
        preview.accepted.set()
        preview.settled.set()


def _interrupted(preview: ActivePreview) -> Outcome:
    """The task was cancelled from outside, without a stop: the service's nursery is being left."""
    outcome = Outcome(State.STOPPED, "stopped: the service ended")
    preview.outcome = outcome
    preview.move(State.STOPPING, outcome.reason)
    return outcome


def _last_words(preview: ActivePreview, outcome: Outcome) -> str:
    if outcome.state is State.FAILED:
        return f"failed: {outcome.reason}"
    return f"stopped after {preview.uptime_s:.1f} s; processes, port {preview.record.port} and files are gone"
