"""From one process of a preview to the next: a restart, or a reload of changed files.

The new process is started beside the one that serves, on the same listening socket. When it says that it serves, the
old one is ordered to drain: it accepts no more, answers what it has accepted, and ends. So no connection is refused and
no request lost; and a new process that does not come up changes nothing but the log. What cannot share the socket is
stopped first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import trio

from preview.core.clock import wait_any
from preview.errors import LaunchFailed, PreviewError
from preview.logs import Level
from preview.supervisor.launch.command import listens_itself
from preview.supervisor.launch.preparation import prepare_again
from preview.supervisor.launch.saving import save
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.preview.control import FilesChange
from preview.supervisor.preview.deadlines import Change
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.place_files import place_files
from preview.supervisor.process.probe import wait_for_answer, wait_until_serving
from preview.supervisor.process.processes import Processes
from preview.supervisor.process.server_process import ServerProcess

_SHOWN_NAMES = 1
# A process releases the socket within a millisecond of being told, where the machine has time for it; one whose own
# code keeps it busy is not waited for any longer, and answers nobody meanwhile.
_LETS_GO_S = 1.0


class ProcessReplacer:
    """Carries out what is asked of a running preview; in the preview's own nursery, for any caller.

    Args:
        preview: Whose.
        context: For what all previews share.
        processes: The preview's.
        nursery: For what goes on after a change: the old process drains.
    """

    def __init__(
        self, preview: LivePreview, context: SupervisorContext, processes: Processes, nursery: trio.Nursery
    ) -> None:
        self._preview = preview
        self._context = context
        self._processes = processes
        self._nursery = nursery
        # Paths that have changed since the stage that is in use was decided, each once.
        self._changed: dict[str, None] = {}
        # Was told to release the socket a moment ago.
        self._letting_go: ServerProcess | None = None
        # Set when the log tells of the change: what it tells of the old process comes after that.
        self._told = trio.Event()

    async def run(self) -> None:
        """Carry out changes for as long as the preview lives; the newest wins, and the callers before it hear of it.

        Cancellation: waiting callers get their answer from ``Changes.close``.
        """
        while True:
            await self._preview.changes.wait()
            changes = self._preview.changes.take()
            self._processes.changing = True
            try:
                error = await self._carry_out(changes)
            finally:
                self._processes.changing = False
                self._processes.move()
            for change in changes:
                change.settle(error)

    async def _carry_out(self, changes: list[Change]) -> PreviewError | None:
        """Carry out a request; return the error if the new process fails. Adds further changes to ``changes``."""
        placed = 0
        while True:
            errors = [error for change in changes[placed:] if (error := await self._announce(change)) is not None]
            placed = len(changes)
            if errors:
                return self._tell_failure(changes, errors[0])
            outcome: list[PreviewError | None] = []
            async with trio.open_nursery() as attempt:
                attempt.start_soon(self._give_way, attempt.cancel_scope)
                outcome.append(await self._attempt(changes))
                attempt.cancel_scope.cancel()
            if outcome:
                # Not in the attempt, which has come to its end: what is asked for meanwhile comes after it.
                if outcome[0] is None:
                    await self._finish(changes[-1])
                return outcome[0]
            changes += self._preview.changes.take()

    async def _finish(self, change: Change) -> None:
        """Tell the log that the new code answers, once the old process has released the socket.

        Until then a new connection may be the old one's: the caller, or a request at the time of the log line, would
        meet old code. Cancellation: it is not logged.
        """
        old, self._letting_go = self._letting_go, None
        if old is not None:
            with trio.move_on_after(_LETS_GO_S):
                await wait_any(old.control.closed, old.ended, old.over)
        self._told.set()
        preview, took_s = self._preview, trio.current_time() - change.asked_at
        preview.note_restart()
        if change.files is not None:
            preview.log.say(f"reloaded in {took_s:.2f} s")
            return
        preview.log.say(f"ready in {took_s:.2f} s: process {preview.record.pid} takes over")
        if old is None:
            preview.log.say(f"restarted in {took_s:.2f} s")

    async def _give_way(self, scope: trio.CancelScope) -> None:
        await self._preview.changes.wait()
        scope.cancel()

    async def _announce(self, change: Change) -> PreviewError | None:
        """Say what is asked for; its files are in place then, whatever becomes of the process. Else the error."""
        # As a launch does: by the time that the new process enters its group the kernel has done its waiting.
        if self._context.migration_lock is not None:
            self._context.migration_lock.request()
        if change.files is None:
            self._preview.log.say("restart: requested")
            return None
        self._preview.log.say(f"reload: {_shown(change.files)}")
        self._changed |= dict.fromkeys(change.files.names)
        try:
            project = self._processes.current.prepared.workspace.project
            await trio.to_thread.run_sync(place_files, project, change.files)
        except PreviewError as error:
            return error
        change.let_go_of_contents()
        return None

    async def _attempt(self, changes: Sequence[Change]) -> PreviewError | None:
        """Start the process that takes over; the error, if it does not. Cancellation: it is on its way out."""
        processes, change = self._processes, changes[-1]
        try:
            await processes.make_room()
            prepared = processes.current.prepared
            if self._changed:
                prepared = await prepare_again(
                    self._preview, self._context, prepared, tuple(self._changed), processes.leases
                )
            if self._can_share(prepared):
                await self._hand_over(prepared, change)
            else:
                await self._replace(prepared, change)
        except PreviewError as error:
            return self._tell_failure(changes, error)
        except OSError as error:
            failure = LaunchFailed(f"The service could not start the new process: {error.strerror or error}.")
            return self._tell_failure(changes, failure)
        finally:
            processes.drop_candidate()
            processes.release()
        return None

    def _tell_failure(self, changes: Sequence[Change], error: PreviewError) -> PreviewError:
        current, what = self._processes.current, changes[-1].what
        if current.is_told_to_end:
            # It is stopped before the new one.
            self._preview.fail(error)
        elif self._preview.outcome is None:
            self._preview.log.say(f"{what} failed: {error.message}", Level.ERROR)
            if not current.ended.is_set():
                self._preview.log.say(f"process {current.process.identity.pid} keeps serving")
        return error

    def _can_share(self, prepared: PreparedLaunch) -> bool:
        """Return whether the serving process has the socket itself, and can release it."""
        current = self._processes.current
        is_there = not current.ended.is_set() and not current.is_told_to_end
        can_tell = is_there and current.control.ready.is_set()
        by_itself = listens_itself(prepared.plan) or listens_itself(current.prepared.plan)
        return can_tell and not by_itself and self._context.runtime.shares_listener(prepared.network)

    async def _hand_over(self, prepared: PreparedLaunch, change: Change) -> None:
        """Start it beside the process that serves.

        Raises:
            LaunchFailed: It does not serve; the process from before does.
        """
        candidate = await self._processes.start(prepared)
        await wait_until_serving(self._preview, candidate)
        # No await from here on: it serves, or it does not.
        old = self._processes.current
        self._succeed(candidate, change)
        self._processes.retire(old)
        self._preview.succession.note(old.control.closed, old.ended, old.over)
        self._told = trio.Event()
        self._nursery.start_soon(self._drain, old, change, trio.current_time() - change.asked_at, self._told)
        self._letting_go = old

    async def _drain(self, old: ServerProcess, change: Change, ready_s: float, told: trio.Event) -> None:
        drain_s = await self._processes.drain(old)
        await told.wait()
        if change.files is None:
            said = f"ready after {ready_s:.2f} s; the old process drained in {drain_s:.2f} s"
            self._preview.log.say(f"restarted in {ready_s + drain_s:.2f} s ({said})")
        else:
            self._preview.log.say(f"the old process drained in {drain_s:.2f} s")

    async def _replace(self, prepared: PreparedLaunch, change: Change) -> None:
        """Stop the process that serves, and start another: from then on the preview lives or fails by that one.

        Raises:
            LaunchFailed: It does not serve.
        """
        preview, current = self._preview, self._processes.current
        if not current.ended.is_set() and not current.is_told_to_end:
            preview.log.say(f"{change.what}: the program cannot hand over its port: the old process is stopped first")
        preview.is_replaced = True
        try:
            await self._processes.end(current)
            candidate = await self._processes.start(prepared)
            await wait_for_answer(preview, candidate)
        finally:
            preview.is_replaced = False
        self._succeed(candidate, change)

    def _succeed(self, candidate: ServerProcess, change: Change) -> None:
        """Make the candidate, which serves, the preview's process."""
        preview, path = self._preview, candidate.prepared.plan.health_path
        if path != self._processes.current.prepared.plan.health_path:
            # The project says something else now about what is to be asked.
            preview.record = replace(preview.record, health_path=path or "/")
            preview.any_answer = path is None
        self._changed.clear()
        self._processes.take(candidate)
        if change.files is None:
            self._processes.keep_snapshot()
        self._nursery.start_soon(save, preview, self._context)


def _shown(files: FilesChange) -> str:
    """Format changes: ``changed main.py, +2 more``."""
    names = files.names
    verb = "changed" if files.written or not names else "removed"
    more = f", +{len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"{verb} {', '.join(names[:_SHOWN_NAMES]) or 'nothing'}{more}"
