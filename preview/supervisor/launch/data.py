"""A preview's data at its launch, and the steps that follow a replacement of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import structlog

from preview.data import Confined, DataLimits, PreviewData, Stillness
from preview.detection import MAKE_MIGRATIONS
from preview.errors import DataUnavailable, PreviewError
from preview.generations import GenerationLimits
from preview.supervisor.launch.preparation import DATABASE_STEPS
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.steps import PreparedLaunch, run_steps
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024


def open_data(
    preview: LivePreview,
    context: SupervisorContext,
    prepared: PreparedLaunch,
    members: Callable[[], Iterable[int]] | None = None,
) -> PreviewData:
    """Return the data of a preview whose processes start from ``prepared``.

    Args:
        preview: The preview.
        context: What it runs in.
        prepared: Its launch.
        members: Returns the pids of its processes; None if none runs.
    """
    workspace, settings = prepared.workspace, prepared.settings
    like = prepared.spec(preview, [], workspace.project, {}, number=0)
    return PreviewData(
        project=workspace.project,
        database=workspace.database,
        scratch=workspace.root,
        servers=preview.needed_servers,
        confined=Confined(prepared.runtime, like, preview.next_number),
        write_generation=partial(_write_generation, context, preview.record.generation_id),
        stillness=None if members is None else Stillness(members, preview.start_turn, preview.log.say),
        limits=DataLimits(files=20 * GenerationLimits.of(settings).files, size_bytes=settings.disk_limit_mb * _MIB),
    )


async def _write_generation(context: SupervisorContext, generation_id: str, folder: Path) -> None:
    await context.source.write_files(generation_id, folder)


def has_first_data(preview: LivePreview, context: SupervisorContext) -> bool:
    """Return whether the preview begins with data: no process may run before it is loaded."""
    if preview.first_data is not None:
        return True
    return context.snapshots is not None and context.snapshots.first_data(preview.record.generation_id) is not None


async def load_first_data(preview: LivePreview, context: SupervisorContext, prepared: PreparedLaunch) -> bool:
    """Load the data that the generation's previews begin with, if it has any; return whether it has.

    Raises:
        PreviewError: The data cannot be loaded.

    Cancellation: the data may be partly loaded; the preview ends.
    """
    if preview.first_data is not None:
        preview.log.say(f"data: loading {preview.first_data.source}")
        await open_data(preview, context, prepared).load(preview.first_data.folder, preview.first_data.parts)
        return True
    store, generation_id = context.snapshots, preview.record.generation_id
    if store is None:
        return False
    await store.learn(generation_id)
    snapshot_id = store.first_data(generation_id)
    if snapshot_id is None:
        return False
    snapshot = await store.get(generation_id, preview.record.user_id, snapshot_id)
    preview.log.say(f"data: loading the snapshot {snapshot.id}")
    folder = await store.verify(snapshot)
    await open_data(preview, context, prepared).load(folder, snapshot.parts)
    return True


async def run_steps_again(
    preview: LivePreview, prepared: PreparedLaunch, which: Literal["all", "migrations", "none"]
) -> None:
    """Run the plan's steps on data that was replaced.

    Args:
        preview: The preview.
        prepared: Its launch.
        which: All steps; those that bring a database up to date; none.

    Raises:
        LaunchFailed: A required step has failed.

    Cancellation: the running step is killed.
    """
    if which == "none":
        return
    steps = prepared.plan.steps
    if which == "migrations":
        steps = tuple(step for step in steps if step.name in DATABASE_STEPS and step.name != MAKE_MIGRATIONS)
    await run_steps(preview, replace(prepared, plan=replace(prepared.plan, steps=steps)))


def as_data_error(error: Exception) -> PreviewError:
    """Return the error for the caller of a replacement that has failed; a mistake of the service is logged."""
    if isinstance(error, PreviewError):
        return error
    if isinstance(error, OSError):
        return DataUnavailable(f"The data cannot be written or read: {error.strerror or error}.")
    log.error("data not replaced", exc_info=error)
    return DataUnavailable(f"The service could not replace the data ({type(error).__name__}); see its own log.")
