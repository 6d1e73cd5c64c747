"""Publication of a preview's end, in order."""

from __future__ import annotations

from dataclasses import replace

from preview.core.clock import now_ms
from preview.core.lifecycle import State, StopCause
from preview.logs import End, Level
from preview.runtime import Exit
from preview.supervisor.launch.saving import store_end
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.preview.live_preview import LivePreview, Outcome


async def conclude(preview: LivePreview, context: SupervisorContext) -> None:
    """Say how it ended: log, subscribers, database, then the callers who wait for it.

    Cancellation: what the database did not take is left to the cleanup; everybody else hears of it all the same. Called
    under a bounded shield.
    """
    try:
        outcome = preview.outcome or _interrupted(preview)
        exited = preview.exit or Exit()
        preview.record = replace(preview.record, exit_code=exited.code, exit_signal=exited.signal)
        if preview.stored:
            level = Level.ERROR if outcome.state is State.FAILED else Level.INFO
            preview.log.say(_last_words(preview, outcome), level)
        # Before the change of state: a client that sees the end sees how many lines there will ever be.
        preview.record = replace(preview.record, last_seq=preview.log.last_seq)
        preview.move(outcome.state, outcome.reason)
        cause, steps = outcome.cause and outcome.cause.value, preview.record.steps
        preview.log.finish(
            End(preview.id, outcome.state, outcome.reason, exited.code, exited.signal, now_ms(), cause, steps)
        )
        if preview.stored:
            await store_end(preview, context)
    finally:
        preview.accepted.set()
        preview.settled.set()
        preview.changes.close(preview.cause)


def _interrupted(preview: LivePreview) -> Outcome:
    """Return the outcome of a task that was cancelled from outside, by the service's nursery."""
    outcome = Outcome(State.STOPPED, "stopped: the service ended", cause=StopCause.SHUTDOWN)
    preview.outcome = outcome
    preview.move(State.STOPPING, outcome.reason)
    return outcome


def _last_words(preview: LivePreview, outcome: Outcome) -> str:
    if outcome.state is State.FAILED:
        # It was stopped for what it used: the reason says so in the words that the log has already.
        return f"failed: {outcome.reason.removeprefix('stopped: ')}"
    return f"stopped after {preview.uptime_s:.1f} s; processes, port {preview.record.port} and files are gone"
