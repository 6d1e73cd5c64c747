"""Background workers of a preview: each runs beside a serving process, and ends with it.

A worker's end is no failure of the preview: it is logged, and the worker starts again after a pause. Its memory counts
with the application's. If both need more than a preview may have, the worker is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import trio

from preview.detection import Step
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import Exit, RunningProcess, Usage
from preview.supervisor.launch.command import resolve_command
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.limits.limits import tell_output, watch_usage
from preview.supervisor.preview.live_preview import LivePreview

_FIRST_PAUSE_S, _MOST_PAUSE_S = 1.0, 60.0
# A worker that runs this long has started; one that ends earlier so often is given up until the next reload.
_SHORT_S, _MOST_SHORT = 30.0, 5
_GRACE_S = 1.0
_STOP_S = 5.0
_DRAIN_S = 0.5
# A plan is read from a stranger's files by a process that is not believed.
MOST_WORKERS = 2
_MIB = 1024 * 1024


@dataclass(eq=False, slots=True)
class Worker:
    """A background worker: its command and, while it runs, its process and its last measured usage."""

    step: Step
    process: RunningProcess | None = None
    usage: Usage | None = None

    @property
    def name(self) -> str:
        """Its name in the Procfile."""
        return self.step.name


async def run_worker(
    preview: LivePreview, prepared: PreparedLaunch, worker: Worker, measured: Callable[[], None]
) -> None:
    """Run a worker, and start it again when it ends. Returns if it ends at once again and again.

    Args:
        preview: The preview.
        prepared: Launch of the serving process that it runs beside.
        worker: The worker.
        measured: Called after ``worker.usage`` was set; sets the preview's usage.

    Cancellation: its processes are gone within a few seconds.
    """
    pause_s, short = _FIRST_PAUSE_S, 0
    while True:
        started = trio.current_time()
        why = await _run_once(preview, prepared, worker, measured)
        if trio.current_time() - started >= _SHORT_S:
            pause_s, short = _FIRST_PAUSE_S, 0
        short += 1
        if short >= _MOST_SHORT:
            said = (
                f"worker {worker.name}: {why}; it exited early {short} times and will restart only at the next reload"
            )
            preview.log.say(said, Level.ERROR)
            return
        preview.log.say(f"worker {worker.name}: {why}; it starts again in {pause_s:g} s", Level.WARNING)
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _MOST_PAUSE_S)


async def _run_once(
    preview: LivePreview, prepared: PreparedLaunch, worker: Worker, measured: Callable[[], None]
) -> str:
    """Run a worker until it ends; return why it has ended, as half a sentence."""
    step = worker.step
    directory = prepared.workspace.project / step.directory
    try:
        argv = resolve_command(list(step.argv), prepared.environment, directory)
        variables = {**prepared.variables, **(step.variables or {})}
        async with AsyncExitStack() as held:
            async with preview.start_turn:
                opened = prepared.runtime.open_process(prepared.spec(preview, argv, directory, variables))
                worker.process = process = await held.enter_async_context(opened)
            preview.log.say(f"worker {step.name}: process {process.identity.pid} started ({' '.join(step.argv)})")
            try:
                return await _attend(preview, prepared, worker, process, measured)
            finally:
                with trio.move_on_after(_STOP_S, shield=True):
                    await process.stop(preview.grace_s(_GRACE_S))
    except LaunchFailed as error:
        return f"not started: {error.message}"
    except OSError as error:
        return f"not started: {error.strerror or error}"
    finally:
        worker.process = worker.usage = None
        measured()


async def _attend(
    preview: LivePreview,
    prepared: PreparedLaunch,
    worker: Worker,
    process: RunningProcess,
    measured: Callable[[], None],
) -> str:
    settings, drained = prepared.settings, trio.Event()
    over: list[str] = []
    ended: Exit | None = None
    async with trio.open_nursery() as nursery:

        def end(reason: str) -> None:
            over.append(reason)
            nursery.cancel_scope.cancel()

        def note(usage: Usage) -> None:
            worker.usage = usage
            measured()
            total = preview.usage.memory_bytes if preview.usage is not None else 0
            most = settings.memory_limit_mb
            if total > most * _MIB:
                end(f"stopped: with the application it used {total // _MIB} MiB; the limit is {most} MiB")

        async def read() -> None:
            await preview.log.read_output(process.output, held=partial(tell_output, preview, settings))
            drained.set()

        nursery.start_soon(read)
        nursery.start_soon(
            partial(watch_usage, preview, process, settings, note=note, end=lambda error: end(error.message))
        )
        ended = await process.wait()
        await preview.log.read_rest(process.output, drained, _DRAIN_S)
        nursery.cancel_scope.cancel()
    return over[0] if over else f"ended with {ended}"
