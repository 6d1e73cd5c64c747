"""The life of one preview, in one task: leaving it, for whatever reason, tears all of it down.

Two sorts of endings meet here. What ends a preview from outside or from a watcher (stop, expiry, exit) is decided
synchronously on ``ActivePreview`` and cancels its scope; what goes wrong on the way to a running process is raised.
Both are settled in ``_conclude``, under a bounded shield.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog
import trio

from preview.clock import now_ms
from preview.environments import EnvironmentCache, EnvironmentRequest
from preview.errors import LaunchFailed, PreviewError, StartupTimeout
from preview.generations import GenerationSource
from preview.lifecycle import Health, State
from preview.logs import End, Level, LogWriter
from preview.runtime import Exit, Limits, ProcessSpec, RunningProcess, Runtime
from preview.settings import Settings
from preview.storage import PreviewRecord, PreviewStore
from preview.supervisor.active import ActivePreview, Outcome
from preview.supervisor.command import LaunchPlan, child_environment, make_plan, server_argv
from preview.supervisor.probe import ProbeFailed, ask, wait_until_ready
from preview.supervisor.workspace import Workspace, open_workspace

__all__ = ["House", "run_preview"]

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
# What the pipe still holds (at most 64 KiB, pipe(7)) is read in a millisecond; a descriptor that somebody outside the
# tree keeps open must not hold up the end.
_DRAIN_S = 0.5
# Last lines to the database, then the row: two short transactions. A flood's last lines may still be on their way then:
# they are written all the same, and whoever reads the log waits for them.
_FLUSH_S = 0.3
_STORE_S = 2.0


@dataclass(frozen=True, slots=True)
class House:
    """What every preview needs and none owns.

    Attributes:
        pending: Rows of ended previews that the database did not take, by id; the cleanup stores them. Bounded by
            how many previews can end while the database is away.
    """

    settings: Settings
    source: GenerationSource
    environments: EnvironmentCache
    runtime: Runtime
    store: PreviewStore
    writer: LogWriter
    pending: dict[str, PreviewRecord] = field(default_factory=dict)


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
        with trio.move_on_after(_FLUSH_S + _STORE_S, shield=True):
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
            plan = await trio.to_thread.run_sync(make_plan, workspace.project)
            await _accept(preview, house, workspace, plan)
            preview.log.say(f"files ready in {trio.current_time() - started:.2f} s")
            preview.log.say(plan.target.reason)
            await _in_environment(preview, house, workspace, plan)
        finally:
            preview.directory = None


async def _accept(preview: ActivePreview, house: House, workspace: Workspace, plan: LaunchPlan) -> None:
    """Store the row: from here on the preview exists for everybody."""
    preview.any_answer = plan.health_path is None
    preview.record = replace(preview.record, health_path=plan.health_path or "/", directory=str(workspace.root))
    await house.store.insert(preview.record)
    preview.stored = True
    preview.accepted.set()


async def _in_environment(preview: ActivePreview, house: House, workspace: Workspace, plan: LaunchPlan) -> None:
    def report(line: str, severity: int) -> None:
        preview.log.say(line, Level(severity))

    async with house.environments.open_environment(EnvironmentRequest(workspace.project), report) as environment:
        preview.log.say(f"environment ready in {environment.elapsed_s:.2f} s ({environment.how})")
        settings = house.settings
        spec = ProcessSpec(
            preview_id=preview.id,
            argv=server_argv(plan, environment, workspace.project),
            directory=workspace.project,
            environment=child_environment(settings, environment, workspace, preview.record.port or 0),
            listener=preview.listener,
            limits=Limits(
                memory_bytes=settings.memory_limit_mb * _MIB,
                open_files=settings.max_open_files,
                processes=settings.max_processes,
                file_bytes=settings.max_file_bytes,
            ),
            readable=(environment.directory, workspace.temp, workspace.database),
        )
        async with house.runtime.open_process(spec) as process:
            await _supervise(preview, house, process)


async def _supervise(preview: ActivePreview, house: House, process: RunningProcess) -> None:
    """The preview's nursery. The reader outlives the watchers, so that what the app says while it ends is kept."""
    identity = process.identity
    preview.record = replace(
        preview.record, pid=identity.pid, pid_start_ticks=identity.start_ticks, boot_id=identity.boot_id
    )
    preview.log.say(f"process {identity.pid} started, port {preview.record.port}")
    drain = trio.CancelScope(shield=True)  # bounded below, once the process has gone
    async with trio.open_nursery() as readers:
        readers.start_soon(_read, preview, process, drain)
        try:
            async with trio.open_nursery() as watchers:
                watchers.start_soon(_watch_exit, preview, process)
                watchers.start_soon(_watch_deadlines, preview)
                watchers.start_soon(_watch_usage, preview, house, process)
                # The pid is in the row before the app can do much: a crash of the service finds it there.
                watchers.start_soon(_save, preview, house)
                await _watch_health(preview, house)
        finally:
            if preview.record.state is State.STOPPING:
                readers.start_soon(_save_stopping, preview, house)
            with trio.move_on_after(house.settings.stop_budget_s, shield=True):
                preview.exit = await process.stop(house.settings.stop_grace_s)
            drain.deadline = trio.current_time() + _DRAIN_S


async def _read(preview: ActivePreview, process: RunningProcess, drain: trio.CancelScope) -> None:
    with drain:
        await preview.log.read_output(process.output)


async def _watch_exit(preview: ActivePreview, process: RunningProcess) -> None:
    """The leader ended by itself: whatever its code, a server that is gone has failed."""
    ended = await process.wait()
    preview.exit = ended
    uptime_s = preview.uptime_s
    preview.log.say(f"process ended with {ended} after {uptime_s:.1f} s", Level.ERROR)
    when = "while it ran" if preview.record.state is State.RUNNING else "before it answered"
    preview.fail(
        LaunchFailed(f"The process ended with {ended} {when}.", exit_code=ended.code, exit_signal=ended.signal)
    )


async def _watch_deadlines(preview: ActivePreview) -> None:
    preview.request_stop(await preview.deadlines.wait())


async def _watch_usage(preview: ActivePreview, house: House, process: RunningProcess) -> None:
    """Measure at an interval; more memory than allowed ends the preview."""
    limit_bytes = house.settings.memory_limit_mb * _MIB
    while True:
        try:
            preview.usage = usage = await process.usage()
        except OSError as error:
            # The service itself is short of something (descriptors): that is no fault of this preview.
            log.warning("preview not measured", preview_id=preview.id, error=str(error))
        else:
            if usage.memory_bytes > limit_bytes:
                sentence = f"stopped: used more than {house.settings.memory_limit_mb} MB of memory"
                preview.log.say(sentence, Level.ERROR)
                preview.fail(LaunchFailed(sentence, memory_bytes=usage.memory_bytes, limit_bytes=limit_bytes))
        await trio.sleep(house.settings.usage_interval_s)


async def _watch_health(preview: ActivePreview, house: House) -> None:
    """Readiness once, then liveness for ever."""
    timeout_s = preview.startup_timeout_s
    with trio.move_on_after(timeout_s) as scope:
        started = trio.current_time()
        status = await wait_until_ready(
            preview.socket_address, preview.record.health_path, any_answer=preview.any_answer
        )
    if scope.cancelled_caught:
        sentence = f"The preview did not answer within {timeout_s:g} s of its start."
        preview.log.say(sentence, Level.ERROR)
        preview.fail(StartupTimeout(sentence, timeout_s=timeout_s))
        return
    if preview.outcome is not None:
        return
    preview.log.say(f"ready in {trio.current_time() - started:.2f} s (GET {preview.record.health_path} -> {status})")
    preview.log.mark_ready()
    preview.move(State.RUNNING)
    await _save(preview, house)
    while True:
        await trio.sleep(house.settings.liveness_interval_s)
        await _probe(preview, house)


async def _probe(preview: ActivePreview, house: House) -> None:
    """One liveness question. An unhealthy preview keeps running: its owner reads why in the log, and may stop it."""
    why = f"no answer in {house.settings.liveness_timeout_s:g} s"
    health = Health.UNHEALTHY
    with trio.move_on_after(house.settings.liveness_timeout_s):
        try:
            status = await ask(preview.socket_address, preview.record.health_path)
        except ProbeFailed as error:
            why = str(error)
        else:
            why = f"GET {preview.record.health_path} -> {status}"
            health = Health.HEALTHY if preview.any_answer or status < 500 else Health.UNHEALTHY
    if preview.set_health(health):
        preview.log.say(f"{health}: {why}", Level.INFO if health is Health.HEALTHY else Level.WARNING)
        await _save(preview, house)


async def _save(preview: ActivePreview, house: House) -> None:
    """Bring the row up to date; a database that is away is no reason to end a preview that runs."""
    try:
        await house.store.update(preview.record)
    except PreviewError as error:
        log.warning("row not updated", preview_id=preview.id, code=error.code, error=error.message)


async def _save_stopping(preview: ActivePreview, house: House) -> None:
    """Beside the stop itself: a service killed in the middle of it finds ``stopping`` in the row, not ``running``."""
    with trio.move_on_after(_STORE_S, shield=True):
        await _save(preview, house)


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
            await _store_end(preview, house)
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


async def _store_end(preview: ActivePreview, house: House) -> None:
    """Last lines, then the row; what the database does not take in time is kept for the cleanup."""
    house.pending[preview.id] = preview.record
    with trio.move_on_after(_FLUSH_S):
        await house.writer.flush(preview.id)
    with trio.move_on_after(_STORE_S):
        try:
            await house.store.update(preview.record)
        except PreviewError as error:
            log.warning("end not stored yet", preview_id=preview.id, code=error.code, error=error.message)
        except Exception:
            # A mistake here would leave this task for the nursery that all previews share.
            log.exception("end not stored yet", preview_id=preview.id)
        else:
            del house.pending[preview.id]
