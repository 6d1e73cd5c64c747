"""Early preparation of a launch: its folders, port and process, before its files are known.

A preview's place: what it needs before anything is known of it, which can be made before its launch.

A launch takes it in one step; its task, which was waiting for that, goes on as the preview's.
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
        expected: What the start is likely to be, where it is made before a launch.

    Attributes:
        scope: Cancelling it tears all of it down.
        is_ready: Whether it can be taken: all that can be made in advance is, or is being made by tasks of its own.
        preview: Who has taken it.
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
        """Wait until a preview has taken it; None when nobody has for too long, and nobody can any more.

        Args:
            gone: Set when it is of no use any more.

        Cancellation: nobody can take it any more.
        """
        self.is_ready = not gone.is_set()
        try:
            with trio.move_on_after(_IDLE_S):
                await wait_any(self._taken, gone)
        finally:
            self.is_ready = False
        return self.preview


def keep_cgroup_lock_warm(context: SupervisorContext) -> None:
    """By the time that a process enters its group the kernel has done its waiting."""
    if context.door is not None:
        context.door.expect()


@asynccontextmanager
async def reserving(
    preview: LivePreview, context: SupervisorContext, workspace: Workspace, known: StartRecord | None
) -> AsyncIterator[None]:
    """Prepare a fork for as long as this is open, or until its start takes it.

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
    """Start the expected launch in advance.

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
