"""A preview's place: what it needs before anything is known of it, which can be made before its launch.

Whoever launches takes it in one step; its task, which was waiting for that, goes on as the preview's.
"""

from __future__ import annotations

import socket

import trio

from preview.core.waiting import wait_any
from preview.supervisor.launch.start_history import StartRecord
from preview.supervisor.preview.live_preview import LivePreview

# A fork that waits has memory of its own; whoever launches after a pause like this has a fork made as before.
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
        """It is this preview's from here on."""
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
