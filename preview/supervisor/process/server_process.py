"""One serving process of a preview, from its start to the last line of its output.

A preview has one such process, and a second during a replacement. Each is a task in the preview's nursery. Cancelling
the process's scope ends the process, as cancelling the preview's scope ends the preview.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import trio

from preview.core.isolation import Network
from preview.core.lifecycle import StopCause
from preview.detection import StartPlan
from preview.errors import LaunchFailed
from preview.runtime import ChecksInside, Exit, ProcessSpec, RunningProcess, Usage, hold_without_listening, listen_again
from preview.settings import Settings
from preview.supervisor.diagnosis.logged_errors import spelled_out
from preview.supervisor.launch.command import listens_itself, server_argv, server_variables
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.limits.limits import tell_output, watch_usage
from preview.supervisor.preview.control import Control, open_control
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.beside import open_beside
from preview.supervisor.process.health_checks import run_health_checks
from preview.supervisor.process.running_beside import RunningBeside
from preview.supervisor.process.snapshots import KeptSnapshot, using
from preview.supervisor.process.workers import MOST_WORKERS, Worker, run_worker
from preview.tracing.otlp import OTLP_PORT

# Reading the rest of the pipe (at most 64 KiB, pipe(7)) takes a millisecond. A process outside the tree that keeps the
# pipe open must not delay the end.
_DRAIN_S = 0.5
# The last output explains the exit; it is in the pipe when the process has ended.
_LAST_WORDS_S = 0.5
_LAST_LINES = 200


class Keeper(Protocol):
    """Callbacks that decide how a process's behaviour affects its preview."""

    def note_usage(self, serving: ServerProcess, usage: Usage) -> None:
        """Note the current usage."""

    def end_for_memory(self, serving: ServerProcess, error: LaunchFailed) -> None:
        """End a process above its memory limit."""


@dataclass(eq=False, slots=True)
class ServerProcess:
    """One serving process with its state. Made by ``run_server_process`` alone.

    Attributes:
        prepared: Prepared launch that the process was started from.
        spec: The process's spec.
        process: The process.
        control: Its control channel.
        scope: Cancelling this scope stops the process.
        settings: The service's settings, with this process's share of the preview's limits.
        grace_s: Grace period in seconds for the stop; None means the default.
        ended: Set when the process has ended by itself and its last output is logged; ``exit`` is known then.
        over: Set when the process and its resources are gone.
        exit: The exit; None while the process runs.
        failure: Error that the supervisor ends the process for.
        draining: Scope of the drain, with its deadline, while the process drains.
        usage: Last measured resource usage.
        taken: Set when the process has become the preview's current one.
        workers: Background workers that run beside it.
        beside: Services of its compose file that run beside it.
        lines: Sequence numbers of its last lines.
    """

    prepared: PreparedLaunch
    spec: ProcessSpec
    process: RunningProcess
    control: Control
    scope: trio.CancelScope
    settings: Settings
    grace_s: float | None = None
    ended: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    exit: Exit | None = None
    failure: LaunchFailed | None = None
    draining: trio.CancelScope | None = None
    usage: Usage | None = None
    taken: trio.Event = field(default_factory=trio.Event)
    workers: list[Worker] = field(default_factory=list)
    beside: list[RunningBeside] = field(default_factory=list)
    lines: deque[range] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))

    @property
    def _others(self) -> list[Worker | RunningBeside]:
        return [*self.workers, *self.beside]

    @property
    def usages(self) -> list[Usage]:
        """Last measured usages, with those of its workers and the services beside."""
        return [one for one in (self.usage, *(other.usage for other in self._others)) if one is not None]

    @property
    def running(self) -> list[RunningProcess]:
        """The process, its workers and the services beside."""
        return [self.process, *(one.process for one in self._others if one.process is not None)]

    def members(self) -> list[int]:
        """Return the pids of all its processes, with those of its workers and the services beside."""
        return [pid for process in self.running for pid in process.members()]

    @property
    def is_told_to_end(self) -> bool:
        """True once the supervisor has ordered the process to end; from then on it does not serve."""
        return self.scope.cancel_called

    def output(self, preview: LivePreview) -> list[str]:
        """Return the last lines that this process printed, oldest first, without other processes' lines.

        Errors in lines of data follow as lines of their own.
        """
        numbers = {number for batch in self.lines for number in batch[-_LAST_LINES:]}
        if not numbers:
            return []
        recent = preview.log.last_lines(preview.log.last_seq - min(numbers) + 1)
        return spelled_out([line.message for line in recent if line.seq in numbers][-_LAST_LINES:])


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process that was started speculatively, before the analysis.

    Attributes:
        spec: The process's spec.
        control: Its control channel.
        held: Closing this stack closes the channel.
    """

    spec: ProcessSpec
    control: Control
    held: ExitStack

    @contextmanager
    def channel(self) -> Iterator[Control]:
        """Yield the control channel, and close it at the end."""
        with self.held.pop_all():
            yield self.control


async def run_server_process(
    preview: LivePreview,
    prepared: PreparedLaunch,
    keeper: Keeper,
    kept: KeptSnapshot | None = None,
    started: StartedProcess | None = None,
    *,
    task_status: trio.TaskStatus[ServerProcess] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a serving process until it is ordered to end. ``task_status`` reports it once it has started.

    Args:
        preview: The preview.
        prepared: Prepared launch that the process is started from.
        keeper: Receives usage and memory events.
        kept: Snapshot of the application to start the process from, if any.
        started: The speculative process to adopt, if any.
        task_status: Receives the process.

    Raises:
        LaunchFailed: The process could not be started; nothing is left of the attempt.
        NoSnapshot: The process could not be started from ``kept``.
        OSError: No file descriptor is free.

    Cancellation: the process is stopped, within the stop budget.
    """
    over = trio.Event()
    try:
        channel = open_control() if started is None else started.channel()
        with channel as control, using(kept) as snapshot, trio.CancelScope() as scope:
            beside: list[RunningBeside] = []
            async with open_beside(preview, prepared, beside) as whole:
                spec = serving_spec(preview, whole, control) if started is None else started.spec
                async with (snapshot or whole.runtime).open_process(spec) as process:
                    control.has_started()
                    control.report_to(preview.traffic.direct)
                    preview.traces.turn(on=prepared.plan.trace)
                    if prepared.plan.trace:
                        control.trace_to(preview.traces)
                    settings = whole.settings
                    serving = ServerProcess(prepared, spec, process, control, scope, settings, over=over, beside=beside)
                    preview.log.say(f"process {process.identity.pid} started, port {preview.record.port}")
                    await _attend(preview, serving, keeper, task_status)
    finally:
        over.set()


def serving_spec(
    preview: LivePreview, prepared: PreparedLaunch, control: Control, *, number: int | None = None
) -> ProcessSpec:
    """Return the spec of a serving process. Also makes the port listen, unless the program opens it.

    Args:
        preview: The preview.
        prepared: Prepared launch that the process is started from.
        control: Its control channel.
        number: See ``PreparedLaunch.spec``.

    Raises:
        LaunchFailed: A folder or a program is missing.
    """
    plan, project = prepared.plan, prepared.workspace.project
    port, origin = preview.record.port or 0, preview.record.base_url or ""
    image = prepared.environment.image
    own_port = port if listens_itself(plan) else None
    if image is not None and prepared.network is not Network.HOST:
        own_port = image.port or port
    listener = preview.listener_for(prepared.network)
    if own_port is not None and prepared.network is Network.HOST:
        hold_without_listening(preview.listener)
    else:
        listen_again(preview.listener)
        listen_again(listener)
    if preview.inner is not None:
        preview.inner.carry(carries=listener is preview.inner)
    return prepared.spec(
        preview,
        server_argv(plan, prepared.environment, project, port=port, origin=origin),
        _working_folder(project, plan) if image is None else Path(image.directory),
        server_variables(plan, listener, control.theirs, prepared.variables, exports=OTLP_PORT in preview.supplied),
        control=control,
        port=own_port,
        number=number,
    )


def _working_folder(project: Path, plan: StartPlan) -> Path:
    folder = project / plan.directory
    if not folder.is_dir():
        raise LaunchFailed(
            f"The start folder {plan.directory} does not exist; correct `directory` in preview.toml.",
            reason="missing_file",
        )
    return folder


async def _attend(
    preview: LivePreview, serving: ServerProcess, keeper: Keeper, task_status: trio.TaskStatus[ServerProcess]
) -> None:
    """Run the process's nursery. The reader ends after the watchers, to keep the last output."""
    process, settings = serving.process, serving.settings
    drained = trio.Event()
    reading = trio.CancelScope(shield=True)  # cancelled below, once the process is gone

    async def read() -> None:
        with reading:
            held = partial(tell_output, preview, settings)
            rate = settings.output_bytes_per_s
            await preview.log.read_output(process.output, held, serving.lines.append, bytes_per_s=rate)
        drained.set()

    async def watch_exit() -> None:
        serving.exit = await process.wait()
        await preview.log.read_rest(process.output, drained, _LAST_WORDS_S)
        serving.ended.set()

    async with trio.open_nursery() as readers:
        readers.start_soon(read)
        try:
            async with trio.open_nursery() as watchers:
                watchers.start_soon(watch_exit)
                watchers.start_soon(serving.control.listen)
                watchers.start_soon(_run_workers, preview, serving, keeper)
                watchers.start_soon(_run_checks, preview, serving)
                note, end = partial(keeper.note_usage, serving), partial(keeper.end_for_memory, serving)
                watchers.start_soon(partial(watch_usage, preview, process, settings, note=note, end=end))
                task_status.started(serving)
                await trio.sleep_forever()
        finally:
            with trio.move_on_after(settings.stop_budget_s, shield=True):
                serving.exit = await process.stop(preview.grace_s(_grace_s(preview, serving)))
            with trio.CancelScope(shield=True):  # ``read_rest`` has its own time limit
                await preview.log.read_rest(process.output, drained, _DRAIN_S)
            reading.cancel()


async def _run_workers(preview: LivePreview, serving: ServerProcess, keeper: Keeper) -> None:
    """Run the plan's workers once the process serves. They stop when it does, and before it."""

    def measured() -> None:
        if serving.usage is not None:
            keeper.note_usage(serving, serving.usage)

    if not serving.prepared.plan.workers:
        return
    await serving.taken.wait()
    await preview.settled.wait()
    serving.workers.extend(map(Worker, serving.prepared.plan.workers[:MOST_WORKERS]))
    async with trio.open_nursery() as nursery:
        for worker in serving.workers:
            nursery.start_soon(run_worker, preview, serving.prepared, worker, measured)


async def _run_checks(preview: LivePreview, serving: ServerProcess) -> None:
    """Run the health check of the process's image, if it has one, once the process serves."""
    image, process = serving.prepared.environment.image, serving.process
    if image is None or image.health is None or not isinstance(process, ChecksInside):
        return
    await serving.taken.wait()
    await preview.settled.wait()
    await run_health_checks(preview, process, image.health, image.directory)


def _grace_s(preview: LivePreview, serving: ServerProcess) -> float:
    """Return the grace period; a shutdown, which stops all previews at once, has a shorter one."""
    settings, outcome = serving.prepared.settings, preview.outcome
    if serving.grace_s is not None:
        return min(serving.grace_s, settings.stop_grace_s)
    if not serving.scope.cancel_called and (outcome is None or outcome.cause is StopCause.SHUTDOWN):
        return min(settings.shutdown_grace_s, settings.stop_grace_s)
    return settings.stop_grace_s
