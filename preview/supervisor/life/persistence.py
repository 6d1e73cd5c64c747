"""Publication of a preview's end, in a fixed order."""

from __future__ import annotations

from dataclasses import replace

import trio

from preview.cluster import Cluster
from preview.core.clock import now_ms
from preview.core.lifecycle import Departure, State, StopCause
from preview.errors import DatabaseUnavailable, DiskFull, ServiceStopping
from preview.logs import End, Level
from preview.runtime import Exit
from preview.supervisor.launch.saving import FLUSH_S, STORE_S, store_end
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.preview.live_preview import LivePreview
from preview.supervisor.preview.outcome import Outcome, departed

# Reasons of a node, for which a launch waits for another one.
_OF_THIS_NODE = (DiskFull, DatabaseUnavailable)


def lost_ownership() -> ServiceStopping:
    """Return the error for callers who wait on a node that has lost its lease: 503, as another node answers them."""
    return ServiceStopping("This node of the cluster has lost its place; send the request again.")


async def leave_to_others(preview: LivePreview, context: SupervisorContext) -> None:
    """Leave a launch to other nodes that has failed because of this one's disk, or because the database did not answer.

    A full disk counts if there is another node; what has run before leaves each node for its disk only once. A launch
    without the database is queued once that answers.

    Call this before ``conclude``, under a shield with a deadline. Cancellation: the launch has failed.
    """
    cluster, outcome = context.cluster, preview.outcome
    is_starting = preview.stored and preview.record.state is State.STARTING
    if cluster is None or outcome is None or not is_starting:
        return
    if not isinstance(outcome.error, _OF_THIS_NODE):
        return
    goes_on = isinstance(outcome.error, DatabaseUnavailable)
    # What has run before waits without a bound: it would go round full nodes for its whole life.
    if not goes_on and not (preview.has_run and cluster.queue.has_declined(preview.id)):
        try:
            goes_on = await cluster.queue.has_other(preview.labels)
        except DatabaseUnavailable:
            return
    if goes_on and preview.id in cluster.fences:
        cluster.queue.decline(preview.id, outcome.error.message)
        cluster.moving.add(preview.id)
        preview.log.say(outcome.error.message, Level.WARNING)
        preview.outcome = departed(Departure.MOVED, outcome.error)


async def conclude(preview: LivePreview, context: SupervisorContext) -> None:
    """Publish the preview's end to its log, subscribers, the database and waiting callers, in this order.

    Call this under a shield with a deadline.

    Cancellation: a row that is not stored is left to the cleanup; all others are notified nevertheless.
    """
    try:
        outcome = preview.outcome or _interrupted(preview)
        exited = preview.exit or Exit()
        preview.record = replace(preview.record, exit_code=exited.code, exit_signal=exited.signal)
        if preview.stored:
            level = Level.ERROR if outcome.state is State.FAILED and outcome.departure is None else Level.INFO
            preview.log.say(_last_words(preview, outcome), level)
            if outcome.departure is not Departure.NODE_LOST:
                with trio.move_on_after(FLUSH_S):
                    await preview.log.published()
        # Before the state change: a client that sees the end also sees the final number of lines.
        preview.record = replace(preview.record, last_seq=preview.log.last_seq)
        preview.move(outcome.state, outcome.reason)
        # A preview that this node has lost may be its own again by now, under a new fence, which is not this one's.
        is_lost = outcome.departure is Departure.NODE_LOST
        cause, steps = outcome.end_cause, preview.record.steps
        preview.log.finish(
            End(preview.id, outcome.state, outcome.reason, exited.code, exited.signal, now_ms(), cause, steps)
        )
        if is_lost and context.cluster is not None:
            context.cluster.moving.discard(preview.id)
            # Its last lines are refused now, and not taken for those of a later owner.
            with trio.move_on_after(STORE_S):
                await context.writer.flush(preview.id)
        elif context.cluster is not None and preview.id in context.cluster.moving:
            await _give_up(preview, context, context.cluster)
        elif preview.stored:
            if context.owns(preview.id):
                await store_end(preview, context)
            if context.cluster is not None:
                await context.cluster.release(preview.id)
    finally:
        cluster, known = context.cluster, preview.outcome
        if cluster is not None and preview.stored and known and known.departure is not Departure.NODE_LOST:
            # The deadline may have come before its owner's row was changed.
            cluster.drop(preview.id, moves=preview.id in cluster.moving)
        preview.accepted.set()
        preview.settled.set()
        preview.changes.close(preview.cause)
        preview.inside.close(preview.cause)


async def _give_up(preview: LivePreview, context: SupervisorContext, cluster: Cluster) -> None:
    """Store the last lines, and leave the preview to another node. Cancellation: as ``Cluster.give_up``."""
    # The caller's deadline, without the time for lines that wait for numbers; the row gets the rest.
    with trio.move_on_after(STORE_S - FLUSH_S) as scope:
        await context.writer.flush(preview.id)
    is_stored, next_seq = not scope.cancelled_caught, preview.log.last_seq + 1
    # A launch that this node could not start waits as long as its first wait lasts; one that a drain moves does not.
    is_of_node = preview.outcome is not None and isinstance(preview.outcome.error, _OF_THIS_NODE)
    has_run = preview.has_run or not is_of_node
    await cluster.give_up(preview.id, is_stored=is_stored, next_seq=next_seq, has_run=has_run)


def _interrupted(preview: LivePreview) -> Outcome:
    """Return the outcome of a task that the service's nursery has cancelled."""
    outcome = Outcome(State.STOPPED, "stopped: the service ended", cause=StopCause.SHUTDOWN)
    preview.outcome = outcome
    preview.move(State.STOPPING, outcome.reason)
    return outcome


def _last_words(preview: LivePreview, outcome: Outcome) -> str:
    if outcome.departure is not None:
        return outcome.reason
    if outcome.state is State.FAILED:
        # The reason of a stop for exceeding a limit starts with "stopped:".
        return f"failed: {outcome.reason.removeprefix('stopped: ')}"
    return f"stopped after {preview.uptime_s:.1f} s; processes, port {preview.record.port} and files are gone"
