"""A preview's slot: its id, port and task, created by a launch, or in advance as a spare slot.

A launch takes a spare slot in one step; the waiting task then continues as the preview's task.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.runtime import InnerSocket
from preview.runtime.waiting import wait_any
from preview.supervisor.launch.start_history import StartRecord, early_spec
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.launch.workspace import Workspace
from preview.supervisor.preview.live_preview import LivePreview

# A waiting fork uses memory, so a spare slot ends after this time without a launch; later launches fork on demand.
_IDLE_S = 600.0


class PreviewSlot:
    """A preview's id, port and task scope, and later the preview. Owned by its task (``run_preview``).

    Args:
        preview_id: Id of the future preview.
        listener: Socket bound to the port. Owned by the task.
        expected: The expected start; None for a slot that a launch takes at once.

    Attributes:
        scope: Cancelling this scope tears everything down.
        inner: See ``LivePreview``; set by its task.
        is_ready: True if a launch can take it: a spare slot with folders, port and fork.
        preview: The preview that has taken it.
    """

    def __init__(self, preview_id: str, listener: socket.socket, expected: StartRecord | None = None) -> None:
        self.id = preview_id
        self.listener = listener
        self.inner: InnerSocket | None = None
        self.expected = expected
        self.scope = trio.CancelScope()
        self.is_ready = False
        self.preview: LivePreview | None = None
        self._taken = trio.Event()

    @property
    def port(self) -> int:
        """Port number."""
        port: int = self.listener.getsockname()[1]
        return port

    def take(self, preview: LivePreview) -> None:
        """Assign the slot to this preview."""
        self.preview = preview
        self._taken.set()

    async def wait_taken(self, gone: trio.Event) -> LivePreview | None:
        """Wait until a preview takes the slot. Returns None after the idle timeout or without a fork.

        Args:
            gone: Set when the slot's fork cannot be used any more.

        Cancellation: the slot is not available any more.
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
    """Wait until a preview takes the slot; a spare slot has a reserved fork until then.

    Yields:
        The preview; None if none has taken the slot and none can any more.

    Cancellation: the fork is ended, unless a launch has it.
    """
    if slot.expected is None:
        yield slot.preview
        return
    warm_migration_lock(context)
    spec = early_spec(
        context.settings, slot.expected, workspace, preview_id=slot.id, listener=slot.inner or slot.listener
    )
    assert spec is not None, "else no spare slot is made"  # noqa: S101
    async with context.runtime.reserve(spec, stays=True) as gone:
        yield await slot.wait_taken(gone)


def warm_migration_lock(context: SupervisorContext) -> None:
    """Warm the kernel's migration lock, so that a process soon enters its control group without a wait."""
    if context.migration_lock is not None:
        context.migration_lock.request()
