"""Waiting for several things."""

from __future__ import annotations

import trio


async def wait_any(*events: trio.Event) -> None:
    """Wait until one of the events is set. Cancellation: nothing changes."""
    if any(event.is_set() for event in events):
        await trio.lowlevel.checkpoint()
        return
    async with trio.open_nursery() as nursery:

        async def wait(event: trio.Event) -> None:
            await event.wait()
            nursery.cancel_scope.cancel()

        for event in events:
            nursery.start_soon(wait, event)
