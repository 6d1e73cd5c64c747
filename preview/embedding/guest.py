"""A trio run in the thread of a running asyncio loop, as its guest (``trio.lowlevel.start_guest_run``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

import outcome
import structlog
import trio

from preview.embedding.lateness import warn_when_late
from preview.embedding.ticks import Ticks
from preview.errors import ServiceStopping

log = structlog.get_logger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class GuestRun:
    """A trio run that takes turns with the asyncio loop of its host, in one thread. Made by ``open_guest``.

    Neither side may block the thread. Callbacks go from one side to the other directly, so there are no locks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.ticks = Ticks(loop)
        self._nursery: trio.Nursery | None = None
        self._ended: asyncio.Future[outcome.Outcome[None]] = loop.create_future()

    @property
    def is_running(self) -> bool:
        """True while trio functions can be started."""
        return self._nursery is not None

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Start a trio task with a copy of the caller's context variables.

        Raises:
            ServiceStopping: The run is over.
        """
        if self._nursery is None:
            raise ServiceStopping("The service is not running; try again in a moment.")
        self.ticks.now(partial(self._nursery.start_soon, function))

    async def call(self, function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
        """Await a trio function from asyncio, and return or raise what it does.

        Raises:
            ServiceStopping: The run is over, or ended before the function did.

        Cancellation: the trio function is cancelled, and this returns when its cleanup is done.
        """
        result: asyncio.Future[outcome.Outcome[T]] = self.loop.create_future()
        scope = trio.CancelScope()

        async def run() -> None:
            await run_in(scope, result.set_result, function, *arguments)

        self.start_soon(run)
        found = await until_done(result, scope.cancel)
        return found.unwrap()

    async def call_host(self, function: Callable[[*Ts], Coroutine[Any, Any, T]], *arguments: *Ts) -> T:
        """Await an asyncio function from trio, in a task of the host's loop with the caller's context variables.

        Raises:
            ServiceStopping: The host cancelled the task.

        Cancellation: the function's task is cancelled, and this returns when its cleanup is done.
        """
        caller = trio.lowlevel.current_task()
        raise_cancelled: Callable[[], Any] | None = None
        task = self.loop.create_task(function(*arguments), context=copy_context())

        def done(_: asyncio.Task[T]) -> None:
            if not task.cancelled():
                found: outcome.Outcome[T] = outcome.capture(task.result)
            elif raise_cancelled is not None:
                found = outcome.capture(raise_cancelled)
            else:
                found = outcome.Error(ServiceStopping("The host cancelled a task of the service."))
            self.ticks.now(partial(trio.lowlevel.reschedule, caller, found))

        def abort(raises: Callable[[], Any]) -> trio.lowlevel.Abort:
            nonlocal raise_cancelled
            raise_cancelled = raises
            task.cancel()
            return trio.lowlevel.Abort.FAILED

        task.add_done_callback(done)
        found: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return found

    async def start(self) -> None:
        """Start the run; ``open_guest`` calls this once. Cancellation: the run is cancelled."""
        started: asyncio.Future[None] = self.loop.create_future()

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(warn_when_late)
                self._nursery = nursery
                if not started.done():
                    started.set_result(None)
                await trio.sleep_forever()

        def over(result: outcome.Outcome[None]) -> None:
            self._nursery = None
            self.ticks.end()
            self._ended.set_result(result)
            if isinstance(result, outcome.Error):
                log.critical("service crashed", exc_info=result.error)
            if not started.done():
                started.set_result(None)

        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=self.loop.call_soon_threadsafe,
            run_sync_soon_not_threadsafe=self.ticks.soon,
            done_callback=over,
            # The host's server has its own way to be woken by a signal; trio must not take it.
            host_uses_signal_set_wakeup_fd=True,
        )
        await until_done(started, self._cancel)

    def _cancel(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    async def stop(self) -> None:
        """Cancel the run and await its end, and raise what it raised. Cancellation: awaits it all the same."""
        self._cancel()
        found = await until_done(self._ended, lambda: None)
        found.unwrap()


@asynccontextmanager
async def open_guest() -> AsyncIterator[GuestRun]:
    """Run trio in the thread of the running asyncio loop while the body runs.

    Raises:
        RuntimeError: Another run has this thread.
        BaseException: What ended the run before the body did. It is logged when it happens.

    Cancellation: the run is cancelled. Its cleanup is awaited in any case: else the host would close its loop under it.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError("Only one application of the preview service can run in a thread of asyncio.")
    guest = GuestRun(asyncio.get_running_loop())
    await guest.start()
    try:
        yield guest
    finally:
        await guest.stop()  # noqa: ASYNC102  asyncio has no scopes; see until_done


@asynccontextmanager
async def cancelled_by(task: asyncio.Task[Any]) -> AsyncIterator[None]:
    """Cancel the body when ``task`` ends first, as ``asyncio.TaskGroup`` does; the caller then raises the task's error.

    Raises:
        RuntimeError: No task runs the caller.

    Cancellation: passed on, unless it is the task's own.
    """
    body, ended = asyncio.current_task(), False
    if body is None:
        raise RuntimeError("`running()` must be entered by a task of asyncio.")

    def note_end(_: asyncio.Task[Any]) -> None:
        nonlocal ended
        ended = True
        body.cancel()

    task.add_done_callback(note_end)
    try:
        yield
    except asyncio.CancelledError:  # noqa: ASYNC103  the task's own, which the caller raises as an error
        if not ended or body.uncancel() > 0:
            raise
    finally:
        task.remove_done_callback(note_end)


async def run_in(
    scope: trio.CancelScope,
    report: Callable[[outcome.Outcome[T]], None],
    function: Callable[[*Ts], Awaitable[T]],
    *arguments: *Ts,
) -> None:
    """Run a trio function in a scope and report what it returned or raised; its ``Cancelled`` never leaves trio.

    Cancellation: the function is cancelled.
    """
    found: outcome.Outcome[T] = outcome.Error(ServiceStopping("The service is stopping; try again in a moment."))
    try:
        with scope:
            found = outcome.Value(await function(*arguments))
    except trio.Cancelled:
        raise
    except BaseException as error:  # noqa: BLE001  the caller in the other library raises it
        found = outcome.Error(error)
    finally:
        report(found)


async def until_done(future: asyncio.Future[T], cancel: Callable[[], object]) -> T:
    """Await a future to its end, also when this is cancelled: then ``cancel`` is called, and the end is awaited.

    Cancellation: ``cancel`` is called; this raises when the future is done.
    """
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:  # noqa: ASYNC103  raised below
            cancelled = True
            cancel()
    if cancelled:
        raise asyncio.CancelledError
    return future.result()
