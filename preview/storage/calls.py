"""Run database calls in threads, each with a deadline. A late call is abandoned, with its thread and connection."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import outcome
import trio

from preview.errors import DatabaseUnavailable

T = TypeVar("T")

# On cancellation, a running call gets this long to finish. Its result is then usually known.
_CANCEL_GRACE_S = 0.5


class Wire:
    """A duplicate of a connection's socket descriptor, so that any thread can shut the connection down.

    The driver may close its descriptor, and the number may be reused. The duplicate stays valid until ``close``.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def cut(self) -> None:
        """Shut the connection down in both directions; a thread that waits for it then returns."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the duplicate; the driver's descriptor stays open."""
        self._socket.close()

    def __del__(self) -> None:
        """Close the duplicate if the connection's set-up failed, because no close event follows."""
        self._socket.close()


class Call(Generic[T]):
    """One call and the connection that it waits for.

    Invariant: after ``give_up``, each wire that the call uses is cut.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = trio.Event()
        self.result: outcome.Outcome[T] | None = None
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._given_up = False

    def use(self, wire: Wire | None) -> None:
        """Set the connection that the call uses. Called in the call's thread."""
        with self._lock:
            self._wire = wire
            if self._given_up and wire is not None:
                wire.cut()

    def give_up(self) -> None:
        """Abandon the call: cut its connection."""
        with self._lock:
            self._given_up = True
            if self._wire is not None:
                self._wire.cut()

    def run(self) -> T:
        """Do the work. Called in the call's thread."""
        _CURRENT.call = self  # type: ignore[assignment]  # other code only sets its wire
        try:
            return self.work()
        finally:
            # The connection may be reused by another call from here on.
            self.use(None)
            _CURRENT.call = None


class _Current(threading.local):
    call: Call[object] | None = None


_CURRENT = _Current()


def current_call() -> Call[object] | None:
    """Return the call that runs in this thread, or None."""
    return _CURRENT.call


async def run_call(work: Callable[[], T], limiter: trio.CapacityLimiter, timeout_s: float) -> T:
    """Run ``work`` in a thread. The limiter's slot is released when the thread ends, even if the call was abandoned.

    The limiter therefore also bounds abandoned threads, and calls never outnumber the pool's connections.

    Args:
        work: Blocking function; the engine registers its connection (see ``engine``).
        limiter: Limits the threads.
        timeout_s: Seconds, including the wait for a slot.

    Raises:
        DatabaseUnavailable: The deadline has passed. A change may or may not have been made.

    Cancellation: takes effect before the thread starts. A running call may finish within a grace period, and its
    result is returned. After the grace period the call is abandoned.
    """
    deadline = trio.current_time() + timeout_s
    call = Call(work)
    with trio.move_on_at(deadline) as waiting:
        await limiter.acquire_on_behalf_of(call)
    if waiting.cancelled_caught:
        raise _late(timeout_s)
    token = trio.lowlevel.current_trio_token()

    def finish(result: outcome.Outcome[T]) -> None:
        call.result = result
        limiter.release_on_behalf_of(call)
        call.done.set()

    def deliver(result: outcome.Outcome[T]) -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(finish, result)

    trio.lowlevel.start_thread_soon(call.run, deliver)
    await _wait(call, deadline)
    if call.result is None:
        raise _late(timeout_s)
    return call.result.unwrap()


async def _wait(call: Call[T], deadline: float) -> None:
    """Wait until the call is done, or abandon it."""
    try:
        with trio.move_on_at(deadline):
            await call.done.wait()
    except trio.Cancelled:  # noqa: ASYNC103  not raised again if the work is done, see below
        latest = min(deadline, trio.current_time() + _CANCEL_GRACE_S)
        with trio.CancelScope(shield=True, deadline=latest):
            await call.done.wait()
        if call.result is None:
            raise
        # As with a thread that cannot be cancelled: return the result. The next checkpoint raises Cancelled.
    finally:
        if call.result is None:
            call.give_up()


def _late(timeout_s: float) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The service's database did not answer within {timeout_s:g} s; try again in a moment.", reason="timeout"
    )
