"""The processes of one preview: the current one, a candidate, and those that end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import trio

from preview.core.lifecycle import State
from preview.errors import LaunchFailed, PreviewError
from preview.logs import Level
from preview.runtime import ChecksInside, Exit, NoSnapshot, Usage
from preview.runtime.waiting import wait_any
from preview.settings import Settings
from preview.supervisor.diagnosis.exits import explain_exit
from preview.supervisor.launch.preparation import EnvironmentLeases
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.launch.variables import placeholders_of
from preview.supervisor.limits.limits import memory_error, stop_for_memory, tell, was_killed_for_memory
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.crash_restarts import CrashRestarts
from preview.supervisor.process.server_process import ServerProcess, StartedProcess, run_server_process
from preview.supervisor.process.snapshots import KeptSnapshot, Snapshots

# Changes may arrive faster than old processes drain. This many may drain; then the next change waits.
_MOST_DRAINING = 2
# Minimum drain time of an old process when another follows: longer than a launcher keeps an idle connection.
_LEAST_DRAIN_S = 1.0
# Time to end after the last response, for instance to close a database.
_ENDS_S = 1.0


class Processes:
    """All processes of a preview. Owned by the preview's task; the role of each process changes synchronously.

    Invariant: ``current`` serves, or was the last to serve. All others are starting (at most one) or ending (a few).

    Args:
        preview: The preview.
        settings: The service's settings.
        nursery: Runs the processes' tasks.
        leases: Environments that reloads have opened.
        snapshots: The preview's snapshots.

    Attributes:
        current: The process that serves, or was the last to serve.
        crashes: Decides which crashes lead to a restart.
        changing: True while a replacement is prepared: an exit of the current process does not end the preview then.
    """

    current: ServerProcess

    def __init__(
        self,
        preview: LivePreview,
        settings: Settings,
        nursery: trio.Nursery,
        leases: EnvironmentLeases,
        snapshots: Snapshots,
    ) -> None:
        self.changing = False
        self.crashes = CrashRestarts(preview, settings)
        self._snapshots = snapshots
        self.leases = leases
        self._preview = preview
        self._settings = settings
        self._nursery = nursery
        self._has_begun = False
        self._candidate: ServerProcess | None = None
        self._draining: list[ServerProcess] = []
        # Processes that end without a drain.
        self._leaving: list[ServerProcess] = []
        # Set when another process becomes the current one, or a change is over.
        self._moved = trio.Event()

    @property
    def exit(self) -> Exit | None:
        """Exit of the last serving process; None while it runs, and before the first."""
        return self.current.exit if self._has_begun else None

    @property
    def _all(self) -> list[ServerProcess]:
        every = [self.current if self._has_begun else None, self._candidate, *self._draining, *self._leaving]
        return [one for one in every if one is not None and not one.over.is_set()]

    def members(self) -> list[int]:
        """Return the pids of all processes, see ``RunningProcess.members``."""
        return [pid for one in self._all for pid in one.members()]

    @property
    def can_be_stopped(self) -> bool:
        """True if the service can stop all of them by itself: an engine may start more programs in a container.

        Nor can it while a snapshot imports the application, which is not one of them.
        """
        return not self._snapshots.is_making and not any(
            isinstance(process, ChecksInside) for one in self._all for process in one.running
        )

    def note_usage(self, serving: ServerProcess, usage: Usage) -> None:
        """See ``Keeper``: the preview's usage is the sum of its processes."""
        serving.usage = usage
        known = [usage for one in {*self._all, serving} for usage in one.usages]
        self._preview.take_usage(
            Usage(
                sum(one.memory_bytes for one in known),
                round(sum(one.cpu_percent for one in known), 1),
                sum(one.processes for one in known),
            )
        )

    def end_for_memory(self, serving: ServerProcess, error: LaunchFailed) -> None:
        """See ``Keeper``: only the serving process's failure ends the preview, unless it is started again."""
        is_current = not self._has_begun or serving is self.current
        if is_current and not self.crashes.applies(serving):
            stop_for_memory(self._preview, error)
            return
        tell(self._preview, "memory", error.message)
        serving.failure = error
        if is_current:
            serving.scope.cancel()
        serving.ended.set()

    # Start

    async def start(self, prepared: PreparedLaunch, started: StartedProcess | None = None) -> ServerProcess:
        """Start a process; it is the candidate until it is taken or dropped.

        Args:
            prepared: Prepared launch that the process is started from.
            started: The speculative process to adopt, if any.

        Raises:
            LaunchFailed, OSError: The process could not be started.

        Cancellation: nothing is left of the process.
        """
        kept = self._snapshots.of(prepared)
        if kept is not None:
            try:
                return await self._begin(prepared, kept)
            except NoSnapshot as error:
                self._preview.log.say(f"started again: {error}")
                self._snapshots.retire()
        return await self._begin(prepared, None, started)

    async def _begin(
        self, prepared: PreparedLaunch, kept: KeptSnapshot | None, started: StartedProcess | None = None
    ) -> ServerProcess:
        start = partial(run_server_process, self._preview, prepared, self, kept, started)
        # A process that starts while the others stand still would not be one of those that were stopped.
        async with self._preview.start_turn:
            candidate: ServerProcess = await self._nursery.start(start)
            self._candidate = candidate
        return candidate

    def keep_snapshot(self) -> None:
        """Prepare a snapshot of the serving code, as a preview that was restarted once may be restarted again."""
        self._snapshots.keep(self.current.prepared, self.current.spec)

    def take(self, serving: ServerProcess) -> None:
        """Make this process the preview's current process."""
        identity = serving.process.identity
        self.current, self._candidate, self._has_begun = serving, None, True
        self._preview.control = serving.control
        serving.taken.set()
        self._preview.record = replace(
            self._preview.record, pid=identity.pid, pid_start_ticks=identity.start_ticks, boot_id=identity.boot_id
        )
        self.move()

    def move(self) -> None:
        """Wake the tasks that wait for a decision."""
        self._moved.set()
        self._moved = trio.Event()

    def drop_candidate(self) -> None:
        """End a candidate that was not taken; ``make_room`` waits for its end."""
        if self._candidate is not None:
            candidate, self._candidate = self._candidate, None
            candidate.grace_s = 0
            candidate.scope.cancel()
            self._leaving.append(candidate)

    # End

    async def watch_exits(self) -> None:
        """Fail the preview when the serving process exits, whatever the exit code; or start the process again.

        While a replacement is prepared, its result decides instead. Cancellation: nothing changes.
        """
        preview = self._preview
        while True:
            serving, moved = self.current, self._moved
            await wait_any(serving.ended, moved)
            if not self._decides(serving):
                await moved.wait()
            elif serving.ended.is_set():
                error = self.crashes.known(serving) or await self._explain(serving)
                if error is None:
                    return
                self.crashes.explain(serving, error)
                if not self._decides(serving):
                    # A change has started since the process ended, or has replaced it.
                    continue
                further = self.crashes.decide(serving, error)
                if isinstance(further, PreviewError):
                    preview.fail(further)
                    return
                await self.crashes.request_after(further, self._moved)

    def _decides(self, serving: ServerProcess) -> bool:
        """Return True if this process's exit decides about the preview, and no replacement does."""
        return not self.changing and serving is self.current

    async def _explain(self, serving: ServerProcess) -> PreviewError | None:
        """Log the process's exit and return its reason; None if the preview is over, or its launch is mended."""
        preview, ended = self._preview, serving.exit or Exit()
        if serving.failure is not None:
            return serving.failure
        if preview.outcome is None and was_killed_for_memory(preview, serving.process):
            error = memory_error(self._settings)
            if self.crashes.applies(serving):
                tell(preview, "memory", error.message, Level.ERROR)
                return error
            stop_for_memory(preview, error)
        if preview.outcome is not None:
            return None
        preview.log.say(f"process ended with {ended} after {preview.uptime_s:.1f} s", Level.ERROR)
        served = preview.record.state is State.RUNNING
        lines = serving.output(preview)
        if not served and preview.mends.offer is not None and await preview.mends.offer(lines):
            return None
        plan, variables = serving.prepared.plan, serving.spec.environment
        made_up = placeholders_of(plan)
        return await explain_exit(
            preview, ended, plan.services, lines, served=served, variables=variables, placeholders=made_up
        )

    async def end(self, serving: ServerProcess) -> None:
        """Stop the process and wait for its end. Cancellation: the process is stopped nevertheless."""
        serving.scope.cancel()
        await serving.over.wait()

    async def end_all(self) -> None:
        """Stop all processes, also those that drain, and the snapshot; wait for their end.

        Cancellation: they are stopped nevertheless.
        """
        self._snapshots.retire()
        for one in self._all:
            one.scope.cancel()
        for one in self._all:
            await one.over.wait()
        self._draining.clear()
        await self._snapshots.wait_retired()

    async def make_room(self) -> None:
        """Limit the number of processes: wait for dropped ones to end, and for some to drain.

        Cancellation: nothing changes.
        """
        for one in self._leaving:
            await one.over.wait()
        self._leaving.clear()
        while len(self._draining) >= _MOST_DRAINING:
            self._hurry_draining()
            await self._draining[0].over.wait()
            self._draining = [one for one in self._draining if not one.over.is_set()]

    def retire(self, old: ServerProcess) -> None:
        """Mark the process as draining (see ``drain``); processes that already drain get less time."""
        self._hurry_draining()
        self._draining.append(old)

    def _hurry_draining(self) -> None:
        latest = trio.current_time() + _LEAST_DRAIN_S
        for one in self._draining:
            if one.draining is not None:
                one.draining.deadline = min(one.draining.deadline, latest)

    async def drain(self, old: ServerProcess) -> float:
        """Order the process to drain; end it once drained or at the deadline. Returns the duration in seconds.

        Cancellation: the wait ends; the process ends with the preview.
        """
        began = trio.current_time()
        with trio.move_on_after(self._settings.drain_timeout_s) as old.draining:
            if old.control.ask_to_drain():
                await wait_any(old.control.drained, old.ended)
        took_s = trio.current_time() - began
        if old.control.drained.is_set():
            with trio.move_on_after(_ENDS_S):
                await old.ended.wait()
        elif not old.ended.is_set():
            self._preview.log.say(
                f"process {old.process.identity.pid} did not finish its requests within {took_s:.1f} s and is "
                "stopped: its open streams are cut off",
                Level.WARNING,
            )
        await self.end(old)
        self._draining = [one for one in self._draining if one is not old]
        self.release()
        return trio.current_time() - began

    def release(self) -> None:
        """Release environments that no process uses any more."""
        self.leases.release(one.prepared for one in self._all)
