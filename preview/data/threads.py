"""Threads for previews' data, which may be gigabytes: launches and removals keep trio's own threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import trio

T = TypeVar("T")

_LIMITER = trio.CapacityLimiter(4)


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread; it calls ``check_cancelled`` often.

    Cancellation: the work ends at its next check.
    """
    return await trio.to_thread.run_sync(work, limiter=_LIMITER)


def check_cancelled() -> None:
    """End the work of this thread if its caller was cancelled. Does nothing outside of such a thread."""
    with suppress(RuntimeError):
        trio.from_thread.check_cancelled()
