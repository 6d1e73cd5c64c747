"""What runs before the application: migrations, builds, generators; each a process like the application's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from preview.detection import StartPlan, Step
from preview.environments import Environment
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import Exit, Limits, ProcessSpec, RunningProcess, Runtime
from preview.runtime.launchers import LAUNCHERS
from preview.settings import Settings
from preview.supervisor.active import ActivePreview
from preview.supervisor.command import resolve_command
from preview.supervisor.diagnose import diagnose
from preview.supervisor.workspace import Workspace

__all__ = ["Stage", "run_steps"]

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
_DRAIN_S = 0.5
_LAST_LINES = 200


@dataclass(frozen=True, slots=True)
class Stage:
    """All that is ready when a preview's processes begin.

    Attributes:
        settings: The service's.
        runtime: Starts them.
        plan: What was decided.
        workspace: Where the preview lives.
        environment: What it runs in.
        variables: What steps and application find in their environment.
    """

    settings: Settings
    runtime: Runtime
    plan: StartPlan
    workspace: Workspace
    environment: Environment
    variables: Mapping[str, str]

    def spec(
        self,
        preview: ActivePreview,
        argv: list[str],
        directory: Path,
        variables: Mapping[str, str],
        *,
        serves: bool = False,
    ) -> ProcessSpec:
        """One process of this preview; ``serves``: it inherits the listening socket."""
        settings = self.settings
        return ProcessSpec(
            preview_id=preview.id,
            argv=argv,
            directory=directory,
            environment=variables,
            listener=preview.listener if serves else None,
            limits=Limits(
                memory_bytes=settings.memory_limit_mb * _MIB,
                open_files=settings.max_open_files,
                processes=settings.max_processes,
                file_bytes=settings.max_file_bytes,
            ),
            readable=(
                self.environment.directory,
                self.environment.program.parent,
                LAUNCHERS,
                self.workspace.project,
                self.workspace.temp,
                self.workspace.database,
            ),
        )


async def run_steps(preview: ActivePreview, stage: Stage) -> None:
    """Run the plan's steps in their order, each to its end; the log tells of each.

    Raises:
        LaunchFailed: A step that is required has failed.

    Cancellation: the step under way is gone with all that it started.
    """
    for step in stage.plan.steps:
        await _run_step(preview, stage, step)


async def _run_step(preview: ActivePreview, stage: Stage, step: Step) -> None:
    preview.log.say(f"step {step.name}: running ({' '.join(step.argv)}), {step.why}")
    started, before = trio.current_time(), preview.log.last_seq
    limit_s = stage.settings.step_timeout_s
    ended: Exit | None = None
    try:
        with trio.move_on_after(limit_s):
            ended = await _carry_out(preview, stage, step)
    except LaunchFailed as error:
        _tell_failure(preview, step, f"failed to start; {error.message}", error)
        return
    if ended == Exit(code=0):
        preview.log.say(f"step {step.name}: done in {trio.current_time() - started:.2f} s")
    elif ended is None:
        said = f"failed: it was not done within {limit_s:g} s (PREVIEW_STEP_TIMEOUT)"
        _tell_failure(preview, step, said, LaunchFailed(f"The step {step.name} {said}.", reason="step", step=step.name))
    else:
        found = diagnose(preview.output_since(before, _LAST_LINES), stage.plan.services)
        meaning = found.message if found else "its output above says why"
        failure = LaunchFailed(
            found.message if found else f"The step {step.name} failed with {ended}; its output says why.",
            **(found.details if found else {}),
            reason=found.reason if found else "step",
            step=step.name,
            exit_code=ended.code,
            exit_signal=ended.signal,
        )
        _tell_failure(preview, step, f"failed with {ended}; {meaning}", failure)


def _tell_failure(preview: ActivePreview, step: Step, said: str, error: LaunchFailed) -> None:
    preview.log.say(f"step {step.name}: {said}", Level.ERROR if step.required else Level.WARNING)
    if step.required:
        raise error
    preview.log.say(f"the application is started without the step {step.name}", Level.WARNING)


async def _carry_out(preview: ActivePreview, stage: Stage, step: Step) -> Exit:
    directory = stage.workspace.project / step.directory
    argv = resolve_command(list(step.argv), stage.environment, directory)
    variables = {**stage.variables, **(step.variables or {})}
    async with stage.runtime.open_process(stage.spec(preview, argv, directory, variables)) as process:
        return await _read_to_end(preview, process, stage.settings)


async def _read_to_end(preview: ActivePreview, process: RunningProcess, settings: Settings) -> Exit:
    """Its exit; what it printed is in the log by then, as far as nothing that it left behind keeps the pipe open."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_watch_memory, preview, process, settings)
        drained = trio.Event()

        async def read() -> None:
            await preview.log.read_output(process.output)
            drained.set()

        nursery.start_soon(read)
        ended = await process.wait()
        with trio.move_on_after(_DRAIN_S):
            await drained.wait()
        nursery.cancel_scope.cancel()
    return ended


async def _watch_memory(preview: ActivePreview, process: RunningProcess, settings: Settings) -> None:
    limit_bytes = settings.memory_limit_mb * _MIB
    while True:
        await trio.sleep(settings.usage_interval_s)
        try:
            usage = await process.usage()
        except OSError as error:
            # The service itself is short of something (descriptors): that is no fault of this preview.
            log.warning("step not measured", preview_id=preview.id, error=str(error))
            continue
        if usage.memory_bytes > limit_bytes:
            sentence = f"stopped: a step used more than {settings.memory_limit_mb} MB of memory"
            preview.log.say(sentence, Level.ERROR)
            preview.fail(LaunchFailed(sentence, memory_bytes=usage.memory_bytes, limit_bytes=limit_bytes))
