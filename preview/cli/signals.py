"""SIGINT, SIGTERM and SIGHUP as two steps: end in order, then hurry."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio

__all__ = ["watch_signals"]


async def watch_signals(
    end: Callable[[], None],
    hurry: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call ``end`` at the first signal and ``hurry`` at each further one; started when signals arrive here.

    SIGHUP is among them: a terminal that is closed must not leave previews behind.

    Cancellation: signals do again what they did before.
    """
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
        task_status.started()
        called = False
        async for _number in received:
            (hurry if called else end)()
            called = True
