"""Threads for previews' data, which may be gigabytes: launches and removals keep trio's own threads."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import trio

T = TypeVar("T")

_THREADS: Final = 4
# One for each event loop: a process may have several, such as two embedded services.
_LIMITER: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("threads of previews' data")


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread; it calls ``check_cancelled`` often.

    Cancellation: the work ends at its next check.
    """
    try:
        limiter = _LIMITER.get()
    except LookupError:
        limiter = trio.CapacityLimiter(_THREADS)
        _LIMITER.set(limiter)
    return await trio.to_thread.run_sync(work, limiter=limiter)


def check_cancelled() -> None:
    """End the work of this thread if its caller was cancelled. Does nothing outside of such a thread."""
    with suppress(RuntimeError):
        trio.from_thread.check_cancelled()
