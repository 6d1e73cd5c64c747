"""SIGINT, SIGTERM and SIGHUP as two steps: end in order, then hurry."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio


@asynccontextmanager
async def hurried_by_signals(end: Callable[[], None]) -> AsyncIterator[None]:
    """The first signal calls ``end``, the next cancels the body; further ones change nothing while it tears down.

    The watcher outlives the body's teardown: a third impatient Ctrl-C would else end the process in the middle of it.

    Cancellation: the body is cancelled.
    """
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as body:
            # Cancelling a scope that has closed does nothing: that is what further signals are to do.
            await nursery.start(partial(watch_signals, end, body.cancel))  # noqa: ASYNC111  the scope may be closed
            yield
        nursery.cancel_scope.cancel()


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
