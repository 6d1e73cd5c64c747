"""One process that serves a preview, from its start to the last line of its output.

A preview has one, and more while one takes over from another. Each is a task in the preview's nursery; it is ended by
cancelling its scope, as the preview is by its own.
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
from preview.runtime import Exit, ProcessSpec, RunningProcess, Usage, hold_without_listening, listen_again
from preview.supervisor.launch.command import listens_itself, server_argv, server_variables
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.limits.limits import tell_output, watch_usage
from preview.supervisor.preview.control import Control, open_control
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.snapshots import KeptSnapshot, using

# What the pipe still holds (at most 64 KiB, pipe(7)) is read in a millisecond; a descriptor that somebody outside the
# tree keeps open must not hold up the end.
_DRAIN_S = 0.5
# What it printed last says why it ended; it is in the pipe by then.
_LAST_WORDS_S = 0.5
_LAST_LINES = 200


class Keeper(Protocol):
    """Decides what it means for the preview, what one of its processes does."""

    def note_usage(self, serving: ServerProcess, usage: Usage) -> None:
        """Note the current usage."""

    def end_for_memory(self, serving: ServerProcess, error: LaunchFailed) -> None:
        """End a process above its memory limit."""


@dataclass(eq=False, slots=True)
class ServerProcess:
    """One process, as those see it who decide about it. Made by ``run_server_process`` alone.

    Attributes:
        prepared: What it was started from.
        spec: What it was started by.
        process: The process.
        control: Its channel.
        scope: Cancelled, the process is stopped.
        grace_s: Seconds that it then has to end in good order; None: as long as any.
        ended: Set when it has ended by itself, and its last words are in the log; ``exit`` says how.
        over: Set when nothing of it is left.
        exit: How it ended; None while it runs.
        failure: Why it is to end, where that was decided here.
        draining: While it drains: its time for that.
        usage: What it used at the last look.
        lines: Numbers of the lines that it printed last.
    """

    prepared: PreparedLaunch
    spec: ProcessSpec
    process: RunningProcess
    control: Control
    scope: trio.CancelScope
    grace_s: float | None = None
    ended: trio.Event = field(default_factory=trio.Event)
    over: trio.Event = field(default_factory=trio.Event)
    exit: Exit | None = None
    failure: LaunchFailed | None = None
    draining: trio.CancelScope | None = None
    usage: Usage | None = None
    lines: deque[range] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))

    @property
    def is_told_to_end(self) -> bool:
        """True once its end is decided: from then on it serves nobody."""
        return self.scope.cancel_called

    def output(self, preview: LivePreview) -> list[str]:
        """Last lines that this process printed, oldest first, without another's."""
        numbers = {number for batch in self.lines for number in batch[-_LAST_LINES:]}
        if not numbers:
            return []
        recent = preview.log.last_lines(preview.log.last_seq - min(numbers) + 1)
        return [line.message for line in recent if line.seq in numbers][-_LAST_LINES:]


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process that was started before it was decided to start it so.

    Attributes:
        spec: What it runs as.
        control: Its channel.
        held: Ends the channel.
    """

    spec: ProcessSpec
    control: Control
    held: ExitStack

    @contextmanager
    def channel(self) -> Iterator[Control]:
        """Its channel, which ends with this."""
        with self.held.pop_all():
            yield self.control


async def run_server_process(
    preview: LivePreview,
    prepared: PreparedLaunch,
    keeper: Keeper,
    kept: KeptSnapshot | None = None,
    under_way: StartedProcess | None = None,
    *,
    task_status: trio.TaskStatus[ServerProcess] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Start a process that serves, and keep it until it is ordered to end; it is started when this has started.

    Args:
        preview: Whose.
        prepared: What it is started from.
        keeper: Keeps account of what it does.
        kept: A snapshot of this stage that it is started from.
        under_way: The process, where it was started already.
        task_status: Gets the process.

    Raises:
        LaunchFailed: It could not be started; nothing is left.
        NoSnapshot: It could not be started from that.
        OSError: No descriptor is left.

    Cancellation: the process is stopped, within the stop budget.
    """
    over = trio.Event()
    try:
        channel = open_control() if under_way is None else under_way.channel()
        with channel as control, using(kept) as snapshot, trio.CancelScope() as scope:
            spec = serving_spec(preview, prepared, control) if under_way is None else under_way.spec
            async with (snapshot or prepared.runtime).open_process(spec) as process:
                control.has_started()
                serving = ServerProcess(prepared, spec, process, control, scope, over=over)
                preview.log.say(f"process {process.identity.pid} started, port {preview.record.port}")
                await _attend(preview, serving, keeper, task_status)
    finally:
        over.set()


def serving_spec(
    preview: LivePreview, prepared: PreparedLaunch, control: Control, *, number: int | None = None
) -> ProcessSpec:
    """Return the spec of a serving process; the port listens from then on, unless the program does.

    Args:
        preview: Whose.
        prepared: What it is started from.
        control: Its channel.
        number: See ``PreparedLaunch.spec``.

    Raises:
        LaunchFailed: A folder or a program is not there.
    """
    plan, project = prepared.plan, prepared.workspace.project
    port, origin = preview.record.port or 0, preview.record.base_url or ""
    own_port = port if listens_itself(plan) else None
    if own_port is not None and prepared.network is Network.HOST:
        hold_without_listening(preview.listener)
    else:
        listen_again(preview.listener)
    return prepared.spec(
        preview,
        server_argv(plan, prepared.environment, project, port=port, origin=origin),
        _working_folder(project, plan),
        server_variables(plan, preview.listener, control.theirs, prepared.variables),
        control=control,
        port=own_port,
        number=number,
    )


def _working_folder(project: Path, plan: StartPlan) -> Path:
    folder = project / plan.directory
    if not folder.is_dir():
        raise LaunchFailed(
            f"The folder {plan.directory} to start in is not there; correct `directory` in preview.toml.",
            reason="missing_file",
        )
    return folder


async def _attend(
    preview: LivePreview, serving: ServerProcess, keeper: Keeper, task_status: trio.TaskStatus[ServerProcess]
) -> None:
    """Run the process's nursery. The reader ends after the watchers, to keep the last output."""
    process, settings = serving.process, serving.prepared.settings
    drained = trio.Event()
    reading = trio.CancelScope(shield=True)  # cancelled below, once the process has gone

    async def read() -> None:
        with reading:
            held = partial(tell_output, preview, settings)
            await preview.log.read_output(process.output, held, serving.lines.append)
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
                note, end = partial(keeper.note_usage, serving), partial(keeper.end_for_memory, serving)
                watchers.start_soon(partial(watch_usage, preview, process, settings, note=note, end=end))
                task_status.started(serving)
                await trio.sleep_forever()
        finally:
            with trio.move_on_after(settings.stop_budget_s, shield=True):
                serving.exit = await process.stop(_grace_s(preview, serving))
            with trio.CancelScope(shield=True):  # bounded by its time and by turns of the loop
                await preview.log.read_rest(process.output, drained, _DRAIN_S)
            reading.cancel()


def _grace_s(preview: LivePreview, serving: ServerProcess) -> float:
    """Return the grace period; shorter if all end at once with the service."""
    settings, outcome = serving.prepared.settings, preview.outcome
    if serving.grace_s is not None:
        return min(serving.grace_s, settings.stop_grace_s)
    if not serving.scope.cancel_called and (outcome is None or outcome.cause is StopCause.SHUTDOWN):
        return min(settings.shutdown_grace_s, settings.stop_grace_s)
    return settings.stop_grace_s
