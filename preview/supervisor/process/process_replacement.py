"""Replacement of a preview's process, for a restart or a reload of changed files.

The new process starts next to the old one, on the same listening socket. When the new process reports that it serves,
the old one drains: it accepts no more connections, responds to the accepted ones, and ends. So no connection is refused
and no request is lost. A new process that fails changes nothing but the log. A program that cannot share the socket is
stopped before its successor starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import trio

from preview.errors import DataUnavailable, LaunchFailed, PreviewError, PreviewUnavailable
from preview.logs import Level
from preview.runtime.waiting import wait_any
from preview.supervisor.launch.command import listens_itself
from preview.supervisor.launch.data import as_data_error, open_data, run_steps_again
from preview.supervisor.launch.preparation import prepare_again
from preview.supervisor.launch.saving import save
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch
from preview.supervisor.preview.control import DataChange, FilesChange
from preview.supervisor.preview.deadlines import Change
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.process.place_files import place_files
from preview.supervisor.process.probe import wait_for_answer, wait_until_serving
from preview.supervisor.process.processes import Processes
from preview.supervisor.process.server_process import ServerProcess

_SHOWN_NAMES = 1
# A draining process closes the socket within a millisecond, unless the machine is busy. If its own code blocks its
# event loop, it accepts no connection either: do not wait longer.
_LETS_GO_S = 1.0
# Changes of other files (pages, styles) do not make an application importable.
_MENDING = (".py", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".json", ".toml", ".txt", ".cfg")


class ProcessReplacer:
    """Carries out the changes requested of a running preview; a task in the preview's own nursery.

    Args:
        preview: The preview.
        context: State shared by all previews.
        processes: The preview's processes.
        nursery: For tasks that outlast a change, such as the old process's drain.
    """

    def __init__(
        self, preview: LivePreview, context: SupervisorContext, processes: Processes, nursery: trio.Nursery
    ) -> None:
        self._preview = preview
        self._context = context
        self._processes = processes
        self._nursery = nursery
        # Paths changed since the prepared launch in use was made; a dict as an ordered set.
        self._changed: dict[str, None] = {}
        # The old process that has been ordered to release the socket; None if there is none.
        self._letting_go: ServerProcess | None = None
        # Version of the files in the preview's folder; None: as launched.
        self._revision: int | None = None
        # Set when the log line of the change is written; the log line about the old process's drain waits for it.
        self._told = trio.Event()

    async def run(self) -> None:
        """Carry out changes while the preview lives. The newest wins; callers of older ones get the same result.

        Cancellation: waiting callers get their result from ``Changes.close``.
        """
        while True:
            await self._preview.changes.wait()
            # Not while it stands still: another node may run it, and a change runs steps of the project.
            async with self._preview.start_turn:
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
        """Carry out changes; restart the attempt when newer ones arrive (added to ``changes``). Returns the error."""
        placed = 0
        while True:
            errors = [error for change in changes[placed:] if (error := await self._announce(change)) is not None]
            placed = len(changes)
            if errors:
                return self._tell_failure(changes, errors[0])
            if changes[-1].data is not None:
                # Newer changes wait: half of the data may be the new one's.
                return await self._attempt(changes)
            outcome: list[PreviewError | None] = []
            async with trio.open_nursery() as attempt:
                attempt.start_soon(self._give_way, attempt.cancel_scope)
                outcome.append(await self._attempt(changes))
                attempt.cancel_scope.cancel()
            if outcome:
                # After the nursery: a change that arrives from here on cannot cancel the finished attempt.
                if outcome[0] is None:
                    await self._finish(changes[-1])
                return outcome[0]
            changes += self._preview.changes.take()

    async def _finish(self, change: Change) -> None:
        """Log that the new code serves, once the old process has released the socket.

        Until then a new connection may reach the old process: a client that acts on the log line would meet old code.
        Cancellation: the line is not logged.
        """
        old, self._letting_go = self._letting_go, None
        if old is not None:
            with trio.move_on_after(_LETS_GO_S):
                await wait_any(old.control.closed, old.ended, old.over)
        self._told.set()
        preview, took_s = self._preview, trio.current_time() - change.asked_at
        self._note_restart()
        if change.files is not None:
            preview.log.say(f"reloaded in {took_s:.2f} s")
            return
        preview.log.say(f"ready in {took_s:.2f} s: process {preview.record.pid} takes over")
        if old is None:
            preview.log.say(f"restarted in {took_s:.2f} s")

    def _note_restart(self) -> None:
        self._preview.note_restart(self._revision)
        self._nursery.start_soon(save, self._preview, self._context)

    async def _give_way(self, scope: trio.CancelScope) -> None:
        await self._preview.changes.wait_newer()
        scope.cancel()

    async def _announce(self, change: Change) -> PreviewError | None:
        """Log the change and write its files, which stay even if the process fails. Returns the error if that fails."""
        # As for a launch: warm the lock, so that the new process enters its control group without a wait.
        if self._context.migration_lock is not None:
            self._context.migration_lock.request()
        if change.settings is not None:
            self._preview.launch_settings = change.settings
            self._preview.hide(change.settings.secrets)
        if change.files is None:
            if not change.after_crash:
                self._preview.log.say(f"{change.what}: requested")
            return None
        self._preview.log.say(f"reload: {_shown(change.files)}")
        self._changed |= dict.fromkeys(change.files.names)
        try:
            project = self._processes.current.prepared.workspace.project
            async with self._preview.start_turn:
                await trio.to_thread.run_sync(place_files, project, change.files)
        except PreviewError as error:
            return error
        self._revision = change.files.revision or self._revision
        change.let_go_of_contents()
        return None

    async def _attempt(self, changes: Sequence[Change]) -> PreviewError | None:
        """Start the new process; return the error if it fails. Cancellation: the new process is being ended."""
        processes, preview = self._processes, self._preview
        serving, confinement, supplied = processes.current, preview.confinement, preview.supplied
        try:
            await processes.make_room()
            if not (self._may_mend_found(changes[-1]) and await self._start_found(changes[-1])):
                await self._start(changes[-1])
        except PreviewError as error:
            return self._tell_failure(changes, error)
        except OSError as error:
            failure = LaunchFailed(f"The service could not start the new process: {error.strerror or error}.")
            return self._tell_failure(changes, failure)
        finally:
            processes.drop_candidate()
            processes.release()
            if processes.current is serving and preview.confinement is not confinement:
                # The process that still serves has the network that it was started with.
                preview.confinement, preview.supplied = confinement, supplied
        return None

    def _may_mend_found(self, change: Change) -> bool:
        """Return whether the project's own command serves, and the changed files may have mended what failed."""
        if change.data is not None or not self._preview.mends.overrides.is_own_start:
            return False
        return any(name.endswith(_MENDING) for name in self._changed)

    async def _start_found(self, change: Change) -> bool:
        """Try the detected application, in place of the project's own command: the change may have mended it.

        Return False if it still fails. Cancellation: like ``_attempt``; the next attempt tries it, too.
        """
        try:
            with self._preview.mends.found_start():
                await self._start(change)
        except (PreviewError, OSError) as error:
            if self._preview.outcome is not None:
                raise
            why = error.message if isinstance(error, PreviewError) else error.strerror or str(error)
            said = f"the found application does not start yet: {why}"
            self._preview.log.say(f"{said.rstrip('.')}; starting the project's own command again", Level.WARNING)
            self._processes.drop_candidate()
            await self._processes.make_room()
            return False
        self._preview.log.say("the found application starts now, and replaces the project's own command")
        return True

    async def _start(self, change: Change) -> None:
        """Prepare the change and start its process.

        Raises:
            PreviewError, OSError: It does not start.

        Cancellation: the new process is being ended.
        """
        processes, preview = self._processes, self._preview
        prepared = processes.current.prepared
        if change.data is not None:
            if self._changed:
                # Neither the new data nor the old would find code that starts.
                raise DataUnavailable(
                    "The code has changed and does not start: fix it first. Until then the previous process "
                    "keeps serving."
                )
            await self._replace_data(prepared, change, change.data)
            return
        if self._changed or preview.launch_settings.digest != preview.served_settings.digest:
            prepared = await prepare_again(
                self._preview, self._context, prepared, tuple(self._changed), processes.leases
            )
        if self._can_share(prepared):
            await self._hand_over(prepared, change)
        else:
            await self._replace(prepared, change)

    def _tell_failure(self, changes: Sequence[Change], error: PreviewError) -> PreviewError:
        current, what = self._processes.current, changes[-1].what
        if all(change.after_crash for change in changes):
            # It counts as a crash: the next restart follows after a longer pause, or none.
            self._processes.crashes.failed_start = error
        elif current.is_told_to_end and not self._processes.crashes.restarts(current):
            # The old process was stopped before the new one started, so nothing serves any more.
            self._preview.fail(error)
        elif self._preview.outcome is None:
            self._preview.log.say(f"{what} failed: {error.message}", Level.ERROR)
            if not current.ended.is_set():
                self._preview.log.say(f"process {current.process.identity.pid} keeps serving")
        return error

    def _can_share(self, prepared: PreparedLaunch) -> bool:
        """Return True if the serving process listens on the shared socket and can release it."""
        current = self._processes.current
        is_there = not current.ended.is_set() and not current.is_told_to_end
        can_tell = is_there and current.control.ready.is_set()
        by_itself = listens_itself(prepared.plan) or listens_itself(current.prepared.plan)
        networks = current.prepared.network, prepared.network
        before, after = map(self._preview.listener_for, networks)
        return (
            can_tell and not by_itself and before is after and self._context.runtime.shares_listener(prepared.network)
        )

    async def _hand_over(self, prepared: PreparedLaunch, change: Change) -> None:
        """Start the new process next to the one that serves.

        Raises:
            LaunchFailed: The new process does not serve; the old one still does.
        """
        candidate = await self._processes.start(prepared)
        await wait_until_serving(self._preview, candidate)
        # No await from here on: the switch is atomic.
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
        """Stop the serving process, then start another. If the new one fails, the preview fails.

        Raises:
            LaunchFailed: The new process does not serve.
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

    async def _replace_data(self, prepared: PreparedLaunch, change: Change, data: DataChange) -> None:
        """Stop all processes, replace the data, and start another process. What fails is undone.

        Raises:
            PreviewError: The data is what it was, unless the preview has failed.
        """
        preview, opened = self._preview, open_data(self._preview, self._context, prepared)
        busy = PreviewUnavailable("The preview's data is being replaced; try again in a moment.")
        async with preview.data_turn, preview.inside.paused(busy):
            preview.is_replaced = True
            try:
                await self._processes.end_all()
                failed: PreviewError | None = None
                try:
                    await data.apply(opened)
                    await run_steps_again(preview, prepared, data.steps)
                    candidate = await self._start_again(prepared)
                except Exception as error:  # noqa: BLE001  whatever it is, the old data comes back
                    failed = as_data_error(error)
                    said = f"{data.what} failed: {failed.message} The previous data is being restored."
                    preview.log.say(said, Level.ERROR)
                    self._processes.drop_candidate()
                    await self._processes.make_room()
                    await data.undo(opened)
                    candidate = await self._start_again(prepared)
                self._succeed(candidate, change)
            finally:
                preview.is_replaced = False
        if failed is not None:
            raise failed
        self._note_restart()
        preview.log.say(f"{data.what} done in {trio.current_time() - change.asked_at:.2f} s")

    async def _start_again(self, prepared: PreparedLaunch) -> ServerProcess:
        candidate = await self._processes.start(prepared)
        await wait_for_answer(self._preview, candidate)
        return candidate

    def _succeed(self, candidate: ServerProcess, change: Change) -> None:
        """Make the candidate, which serves now, the preview's current process."""
        preview, path = self._preview, candidate.prepared.plan.health_path
        if path != self._processes.current.prepared.plan.health_path:
            # The changed project names another health path.
            preview.record = replace(preview.record, health_path=path or "/")
            preview.any_answer = path is None
        self._changed.clear()
        if change.data is None:
            preview.served_settings = preview.launch_settings
        self._processes.take(candidate)
        self._processes.crashes.settle()
        if change.files is None and change.data is None:
            self._processes.keep_snapshot()
        self._nursery.start_soon(save, preview, self._context)


def _shown(files: FilesChange) -> str:
    """Format changes: ``changed main.py, +2 more``."""
    names = files.names
    verb = "changed" if files.written or not names else "removed"
    more = f", +{len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"{verb} {', '.join(names[:_SHOWN_NAMES]) or 'nothing'}{more}"
