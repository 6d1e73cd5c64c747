"""What of a start is known already is under way while the rest of it is made ready, or even before its launch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.supervisor.launch.context import SupervisorContext
from preview.supervisor.launch.start_history import StartRecord, early_spec
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.life.preview_slot import PreviewSlot
from preview.supervisor.preview.live_preview import LivePreview


def keep_cgroup_lock_warm(context: SupervisorContext) -> None:
    """By the time that a process enters its group the kernel has done its waiting."""
    if context.door is not None:
        context.door.expect()


@asynccontextmanager
async def reserving(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, known: StartRecord | None
) -> AsyncIterator[None]:
    """A fork is made ready for as long as this is open, or its start has it.

    Args:
        preview: Whose.
        context: For what all previews share.
        workspace: The preview's.
        known: What its start is likely to be.

    Cancellation: what was started is gone, unless its start has it.
    """
    spec = None
    if known is not None:
        spec = early_spec(
            context.settings, known, workspace, preview_id=preview.id, listener=preview.listener, tell=preview.log.say
        )
    if spec is None:
        yield
        return
    async with context.runtime.reserve(spec):
        yield


@asynccontextmanager
async def made_ahead(place: PreviewSlot, context: SupervisorContext, workspace: Workspace) -> AsyncIterator[trio.Event]:
    """What is expected to be launched there is started.

    Yields:
        Set once that is of no use any more.

    Cancellation: what was started is gone, unless a start has it.
    """
    expected = place.expected
    assert expected is not None, "else it is taken at once"  # noqa: S101
    keep_cgroup_lock_warm(context)
    spec = early_spec(context.settings, expected, workspace, preview_id=place.id, listener=place.listener)
    assert spec is not None, "else nothing is made in advance"  # noqa: S101
    async with context.runtime.reserve(spec, stays=True) as gone:
        yield gone
