"""A task that runs for as long as a block of code does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def beside(task: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run a task for as long as the body lasts; what the body raises comes out as it is, in no group.

    Cancellation: both are cancelled.
    """
    raised: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised again below, out of the nursery
            raised = error
        finally:
            nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
