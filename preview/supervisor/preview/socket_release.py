"""Processes from before that may still accept a preview's connections, though another serves now."""

from __future__ import annotations

import trio

from preview.core.waiting import wait_any


class SocketRelease:
    """Of one preview."""

    def __init__(self) -> None:
        # Of each such process: an event of these tells that it accepts no more.
        self._before: list[tuple[trio.Event, ...]] = []

    def note(self, *events: trio.Event) -> None:
        """Another process serves now; whichever of these comes first, the one from before accepts no more."""
        self._before = [*self._left(), events]

    @property
    def is_over(self) -> bool:
        """Whether a connection made now can come to no process but the newest."""
        return not self._left()

    async def wait_over(self) -> None:
        """Until ``is_over``. Cancellation: nothing changes."""
        for events in self._left():
            await wait_any(*events)

    def _left(self) -> list[tuple[trio.Event, ...]]:
        return [events for events in self._before if not any(event.is_set() for event in events)]
