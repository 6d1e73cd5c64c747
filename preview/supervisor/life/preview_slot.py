"""A preview's slot: its id, port and task, made by its launch, or before any launch as a spare slot.

A launch takes a spare slot in one step; the task, which was waiting for that, goes on as the preview's.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.core.clock import wait_any
from preview.supervisor.launch.start_history import StartRecord, early_spec
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.preview.live_preview import LivePreview

# A fork that waits has memory of its own; a launch after a pause like this has its fork made as before.
_IDLE_S = 600.0


class PreviewSlot:
    """Its id, its port, and the scope of its task; later the preview. Owned by its task (``run_preview``).

    Args:
        preview_id: Which the preview will have.
        listener: Bound to its port. Owned by the task.
        expected: What the start is likely to be; None for a slot that is taken at once.

    Attributes:
        scope: Cancelling it tears all of it down.
        is_ready: Whether a launch can take it: a spare slot with its folders, port and fork.
        preview: The preview that has taken it.
    """

    def __init__(self, preview_id: str, listener: socket.socket, expected: StartRecord | None = None) -> None:
        self.id = preview_id
        self.listener = listener
        self.expected = expected
        self.scope = trio.CancelScope()
        self.is_ready = False
        self.preview: LivePreview | None = None
        self._taken = trio.Event()

    @property
    def port(self) -> int:
        """Its port's number."""
        port: int = self.listener.getsockname()[1]
        return port

    def take(self, preview: LivePreview) -> None:
        """Give the slot to this preview."""
        self.preview = preview
        self._taken.set()

    async def wait_taken(self, gone: trio.Event) -> LivePreview | None:
        """Wait until a preview has taken it; None when none has for too long, and none can any more.

        Args:
            gone: Set when its fork is of no use any more.

        Cancellation: it cannot be taken any more.
        """
        self.is_ready = not gone.is_set()
        try:
            with trio.move_on_after(_IDLE_S):
                await wait_any(self._taken, gone)
        finally:
            self.is_ready = False
        return self.preview


@asynccontextmanager
async def open_preview(
    slot: PreviewSlot, context: SupervisorContext, workspace: Workspace
) -> AsyncIterator[LivePreview | None]:
    """Wait until a preview has the slot; a spare slot has a fork reserved until then.

    Yields:
        None where nobody has taken it, and nobody can any more.

    Cancellation: the fork is gone, unless a launch has it.
    """
    if slot.expected is None:
        yield slot.preview
        return
    warm_migration_lock(context)
    spec = early_spec(context.settings, slot.expected, workspace, preview_id=slot.id, listener=slot.listener)
    assert spec is not None, "else no spare slot is made"  # noqa: S101
    async with context.runtime.reserve(spec, stays=True) as gone:
        yield await slot.wait_taken(gone)


def warm_migration_lock(context: SupervisorContext) -> None:
    """Have the kernel's wait over by the time that a process enters its group."""
    if context.migration_lock is not None:
        context.migration_lock.request()
