"""The processes of one preview: the one that serves, one on its way in, and those on their way out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import trio

from preview.core.clock import wait_any
from preview.core.lifecycle import State
from preview.errors import LaunchFailed
from preview.logs import Level
from preview.runtime import Exit, NoSnapshot, Usage
from preview.settings import Settings
from preview.supervisor.diagnosis.exits import explain_exit
from preview.supervisor.launch.preparation import EnvironmentLeases
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.limits.limits import memory_error, stop_for_memory, tell, was_killed_for_memory
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.server_process import ServerProcess, StartedProcess, run_server_process
from preview.supervisor.process.snapshots import KeptSnapshot, Snapshots

# Changes follow each other faster than old processes drain: so many are left to it, and the next change waits.
_MOST_DRAINING = 2
# What an old process that another follows has to drain at least: longer than a launcher keeps a silent connection.
_LEAST_DRAIN_S = 1.0
# It has answered all; what it does then (closing a database) is its own business.
_ENDS_S = 1.0


class Processes:
    """Owned by the preview's task. Which process is whose is decided synchronously.

    Invariant: ``current`` serves, or has served last. All others are on their way in (one at most) or out (a few).

    Args:
        preview: Whose.
        settings: The service's.
        nursery: Of the processes.
        holds: The environments that reloads have opened.
        snapshots: Its own.

    Attributes:
        current: The process that serves, or has served last.
        changing: Whether another is being made ready: then the end of the current one is not the preview's yet.
    """

    current: ServerProcess

    def __init__(
        self,
        preview: LivePreview,
        settings: Settings,
        nursery: trio.Nursery,
        holds: EnvironmentLeases,
        snapshots: Snapshots,
    ) -> None:
        self.changing = False
        self._snapshots = snapshots
        self.holds = holds
        self._preview = preview
        self._settings = settings
        self._nursery = nursery
        self._has_begun = False
        self._candidate: ServerProcess | None = None
        self._draining: list[ServerProcess] = []
        # On their way out at once.
        self._leaving: list[ServerProcess] = []
        # Set when another process has become the current one, or a change is over.
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
        """Pids of them all, as ``RunningProcess.members``."""
        return [pid for one in self._all for pid in one.process.members()]

    def note_usage(self, serving: ServerProcess, usage: Usage) -> None:
        """See ``Keeper``: the preview uses what all its processes use."""
        serving.usage = usage
        known = [one.usage for one in {*self._all, serving} if one.usage is not None]
        self._preview.usage = Usage(
            sum(one.memory_bytes for one in known),
            round(sum(one.cpu_percent for one in known), 1),
            sum(one.processes for one in known),
        )

    def end_for_memory(self, serving: ServerProcess, error: LaunchFailed) -> None:
        """See ``Keeper``: the preview ends with the process that serves, and with no other."""
        if not self._has_begun or serving is self.current:
            stop_for_memory(self._preview, error)
            return
        tell(self._preview, "memory", error.message)
        serving.failure = error
        serving.ended.set()

    # In

    async def start(self, prepared: PreparedLaunch, under_way: StartedProcess | None = None) -> ServerProcess:
        """Start a process, which is the candidate until it is taken or dropped.

        Args:
            prepared: What it is started from.
            under_way: It, where it was started already.

        Raises:
            LaunchFailed, OSError: It could not be started.

        Cancellation: nothing of it is left.
        """
        kept = self._snapshots.of(prepared)
        if kept is not None:
            try:
                return await self._begin(prepared, kept)
            except NoSnapshot as error:
                self._preview.log.say(f"started again: {error}")
                self._snapshots.retire()
        return await self._begin(prepared, None, under_way)

    async def _begin(
        self, prepared: PreparedLaunch, kept: KeptSnapshot | None, under_way: StartedProcess | None = None
    ) -> ServerProcess:
        start = partial(run_server_process, self._preview, prepared, self, kept, under_way)
        self._candidate = candidate = await self._nursery.start(start)
        started: ServerProcess = candidate
        return started

    def keep_snapshot(self) -> None:
        """Prepare a snapshot of the serving code, which was restarted once and may be again."""
        self._snapshots.keep(self.current.prepared, self.current.spec)

    def take(self, serving: ServerProcess) -> None:
        """From here on this one is the preview's process."""
        identity = serving.process.identity
        self.current, self._candidate, self._has_begun = serving, None, True
        self._preview.record = replace(
            self._preview.record, pid=identity.pid, pid_start_ticks=identity.start_ticks, boot_id=identity.boot_id
        )
        self.move()

    def move(self) -> None:
        """Something has been decided: the tasks that wait for that look again."""
        self._moved.set()
        self._moved = trio.Event()

    def drop_candidate(self) -> None:
        """One that was not taken ends at once; ``make_room`` waits for that."""
        if self._candidate is not None:
            candidate, self._candidate = self._candidate, None
            candidate.grace_s = 0
            candidate.scope.cancel()
            self._leaving.append(candidate)

    # Out

    async def watch_exits(self) -> None:
        """Watch the serving process: whatever its exit code, a server that ends has failed.

        While another is about to take over, that one decides. Cancellation: nothing changes.
        """
        while True:
            serving, moved = self.current, self._moved
            await wait_any(serving.ended, moved)
            if self.changing or serving is not self.current:
                await moved.wait()
            elif serving.ended.is_set():
                await self._fail(serving)
                return

    async def _fail(self, serving: ServerProcess) -> None:
        preview, ended = self._preview, serving.exit or Exit()
        if preview.outcome is None and was_killed_for_memory(preview, serving.process):
            stop_for_memory(preview, memory_error(self._settings))
        if preview.outcome is not None:
            return
        preview.log.say(f"process ended with {ended} after {preview.uptime_s:.1f} s", Level.ERROR)
        served = preview.record.state is State.RUNNING
        lines = serving.output(preview)
        preview.fail(await explain_exit(preview, ended, serving.prepared.plan.services, lines, served=served))

    async def end(self, serving: ServerProcess) -> None:
        """Stop it. Cancellation: it is stopped all the same."""
        serving.scope.cancel()
        await serving.over.wait()

    async def make_room(self) -> None:
        """Limit the number of processes: failed ones are gone, and only some drain.

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
        """Drain the process (``drain``); others that drain already get less time."""
        self._hurry_draining()
        self._draining.append(old)

    def _hurry_draining(self) -> None:
        latest = trio.current_time() + _LEAST_DRAIN_S
        for one in self._draining:
            if one.draining is not None:
                one.draining.deadline = min(one.draining.deadline, latest)

    async def drain(self, old: ServerProcess) -> float:
        """Tell it to release the socket, and end it when it has, or when its time is over; how many seconds it took.

        Cancellation: nothing more is waited for; the process ends with the preview.
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
                f"process {old.process.identity.pid} had not answered all within {took_s:.1f} s and is stopped: "
                "streams that it still had are cut",
                Level.WARNING,
            )
        await self.end(old)
        self._draining = [one for one in self._draining if one is not old]
        self.release()
        return trio.current_time() - began

    def release(self) -> None:
        """Release environments that nothing runs in any more."""
        self.holds.release(one.prepared for one in self._all)
