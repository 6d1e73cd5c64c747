"""A preview's data, saved before the preview moves to another node."""

from __future__ import annotations

from dataclasses import replace

import structlog
import trio

from preview.cluster import Cluster
from preview.core.clock import utc_now
from preview.core.ids import new_snapshot_id
from preview.core.lifecycle import DEPARTURE_REASONS, Departure, State
from preview.data import DataSnapshot, PreviewData, SnapshotKind
from preview.errors import LaunchFailed, PreviewError
from preview.logs import Level
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

_SAVE_S = 60.0


async def move(preview: LivePreview, context: SupervisorContext, cluster: Cluster) -> None:
    """End a preview here so that another node restarts it: with its data, right after that is saved.

    Cancellation: it may have been saved, or be ending.
    """
    await save_before_move(preview, context)
    # A user may have stopped it meanwhile, or it has ended.
    if preview.outcome is None:
        cluster.moving.add(preview.id)
        preview.depart(Departure.MOVED, LaunchFailed(DEPARTURE_REASONS[Departure.MOVED]))
        await preview.over.wait()


async def save_before_move(preview: LivePreview, context: SupervisorContext) -> None:
    """Save what a running preview has stored; without it, the preview goes on without its data, and its log says so.

    Cancellation: nothing is kept.
    """
    store, record = context.snapshots, preview.record
    if store is None or record.state is not State.RUNNING:
        return
    made = DataSnapshot(
        id=new_snapshot_id(),
        generation_id=record.generation_id,
        user_id=record.user_id,
        name="before the move to another node",
        kind=SnapshotKind.BEFORE_MOVE,
        created_at=utc_now(),
        revision=record.revision or 0,
        parts=(),
    )

    async def save(data: PreviewData) -> None:
        async with store.open_folder() as folder:
            parts = await data.save(folder)
            if parts:
                await store.keep(replace(made, parts=tuple(parts)), folder)

    try:
        with trio.fail_after(_SAVE_S):
            async with preview.data_turn:
                await preview.inside.do(save)
    except Exception as error:
        is_known = isinstance(error, PreviewError | OSError | trio.TooSlowError)
        preview.log.say(f"data: not saved before the move ({error})", Level.WARNING)
        log.warning("data not saved before a move", preview_id=preview.id, why=str(error), exc_info=not is_known)
