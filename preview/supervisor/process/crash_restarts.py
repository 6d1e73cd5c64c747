"""Restarts of a preview's process after crashes, if its plan wants them (start option ``on_crash``).

A restart is a change like any other: ``ProcessReplacer`` carries it out. So a reload that arrives during the pause
takes its place, and a stop ends it as it ends everything in the preview's nursery.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from preview.core.lifecycle import Health, OnCrash, State
from preview.errors import LaunchFailed, PreviewError
from preview.logs import Level
from preview.runtime import Exit
from preview.settings import Settings
from preview.supervisor.preview.crashes import GaveUp, RestartBudget, next_crash
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.service_log import log_crash

if TYPE_CHECKING:
    from preview.supervisor.process.server_process import ServerProcess


class CrashRestarts:
    """Decides and requests the restarts of one preview. Owned by ``Processes``.

    Args:
        preview: The preview.
        settings: Bounds of the restarts.

    Attributes:
        failed_start: Why the last restart failed; None if it did not.
    """

    def __init__(self, preview: LivePreview, settings: Settings) -> None:
        self.failed_start: PreviewError | None = None
        self._preview = preview
        self._settings = settings
        self._budget = RestartBudget(settings.crash_restarts, settings.crash_window_s, settings.crash_pause_s)
        # The process whose crash was explained last, and its explanation.
        self._explained: tuple[ServerProcess, PreviewError] | None = None
        # The process whose crash was counted last, and the end of the pause after it, by trio's clock.
        self._counted: ServerProcess | None = None
        self._pause_until = 0.0

    def applies(self, serving: ServerProcess) -> bool:
        """Return True if this process is started again when it crashes: it serves, and its plan wants that."""
        preview = self._preview
        is_wanted = serving.prepared.plan.on_crash is OnCrash.RESTART and self._settings.crash_restarts > 0
        return is_wanted and preview.record.state is State.RUNNING and preview.outcome is None

    def known(self, serving: ServerProcess) -> PreviewError | None:
        """Return why the process, or the last restart after its crash, has ended; None if that is not known yet."""
        if self.failed_start is not None:
            return self.failed_start
        return self._explained[1] if self._explained is not None and self._explained[0] is serving else None

    def explain(self, serving: ServerProcess, error: PreviewError) -> None:
        """Keep why the process has ended: the change that follows may fail, and the process is asked about again."""
        self._explained = serving, error

    def restarts(self, serving: ServerProcess) -> bool:
        """Return True if the process has ended by itself and is started again: a failed reload changes nothing then."""
        return serving.ended.is_set() and self.applies(serving)

    def decide(self, serving: ServerProcess, error: PreviewError) -> float | PreviewError:
        """Count the crash; return the pause in seconds before the restart, or the error that the preview fails with."""
        failed_start, self.failed_start = self.failed_start, None
        ended = serving.exit or Exit()
        if not self.applies(serving) or (serving.failure is None and ended.code == 0):
            return error
        if failed_start is None and self._counted is serving:
            # A reload has failed during the pause. The crash was counted; the pause goes on.
            return max(0.0, self._pause_until - trio.current_time())
        settings, out_of_memory = self._settings, error.details.get("limit") == "memory"
        pause_s = self._budget.crashed(trio.current_time(), served=failed_start is None, out_of_memory=out_of_memory)
        if isinstance(pause_s, GaveUp):
            window = _minutes(settings.crash_window_s)
            why = (
                "it ran out of memory twice in a row"
                if pause_s is GaveUp.MEMORY
                else f"it was started again {self._budget.count} times in {window}"
            )
            return LaunchFailed(f"{error.message.rstrip('.')}. It is not started again: {why}.", **error.details)
        self._counted, self._pause_until = serving, trio.current_time() + pause_s
        how = "out of memory" if out_of_memory else "failed start" if failed_start is not None else str(ended)
        self._tell(error.message.rstrip("."), how, pause_s)
        return pause_s

    def _tell(self, why: str, how: str, pause_s: float) -> None:
        preview, settings = self._preview, self._settings
        window = _minutes(settings.crash_window_s)
        bound = f"restart {self._budget.count} of at most {settings.crash_restarts} in {window}"
        preview.log.say(f"crashed: {why}. It starts again in {pause_s:g} s ({bound})", Level.WARNING)
        preview.crash = next_crash(preview.crash, how, why)
        if not preview.set_health(Health.UNHEALTHY):
            preview.publish()
        log_crash(preview.record, reason=why, restarts_in_s=pause_s)

    def settle(self) -> None:
        """Record that a process serves."""
        self.failed_start = None
        crash = self._preview.crash
        if crash is not None and crash.is_restarting:
            self._preview.crash = replace(crash, is_restarting=False)
            if not self._preview.set_health(Health.HEALTHY):
                self._preview.publish()

    async def request_after(self, pause_s: float, moved: trio.Event) -> None:
        """Request the restart after the pause, unless another change waits or is carried out then.

        Returns when a process serves or the change has failed: ``moved`` is set then. Cancellation: nothing changes.
        """
        preview = self._preview
        preview.is_replaced = True
        with trio.move_on_after(pause_s):
            await moved.wait()
            return
        # A change under way would begin again if the restart joined it. If it fails, this is called again.
        if preview.changes.is_idle:
            # The queue is closed at the preview's end.
            with suppress(PreviewError):
                preview.changes.put(None, after_crash=True)
        await moved.wait()


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} s"
