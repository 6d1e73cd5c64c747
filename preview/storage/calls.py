"""Database calls in threads, each with a deadline: a call that is late is given up, with its thread and connection."""

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

# A cancelled caller waits this long for a call that runs, so that a change is mostly made and known, or not started.
_CANCEL_GRACE_S = 0.5


class Wire:
    """A second descriptor of a connection's socket: it can be cut from another thread at any moment.

    The driver's own may be closed and its number given to another file meanwhile; this one is ours until ``close``.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))

    def cut(self) -> None:
        """End the connection in both directions: a thread that waits for it ends."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close our descriptor; the driver's is not touched."""
        self._socket.close()

    def __del__(self) -> None:
        """Close a connection that failed during its set-up and has no close."""
        self._socket.close()


class _Call(Generic[T]):
    """One call and the wire that it waits for.

    Invariant: once ``give_up`` has run, each wire that the call uses is cut.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = trio.Event()
        self.result: outcome.Outcome[T] | None = None
        self._lock = threading.Lock()
        self._wire: Wire | None = None
        self._given_up = False

    def use(self, wire: Wire | None) -> None:
        """Note what it waits for. Called in its thread."""
        with self._lock:
            self._wire = wire
            if self._given_up and wire is not None:
                wire.cut()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            self._given_up = True
            if self._wire is not None:
                self._wire.cut()

    def run(self) -> T:
        """Do the work. Called in its thread."""
        _CURRENT.call = self  # type: ignore[assignment]  # only its wire is used there
        try:
            return self.work()
        finally:
            # From here on the connection is another call's.
            self.use(None)
            _CURRENT.call = None


class _Current(threading.local):
    call: _Call[object] | None = None


_CURRENT = _Current()


def current_call() -> _Call[object] | None:
    """Return the call that runs in this thread, if any."""
    return _CURRENT.call


async def run_call(work: Callable[[], T], limiter: trio.CapacityLimiter, timeout_s: float) -> T:
    """Run ``work`` in a thread. A place in the limiter is free again when the thread has ended, however late.

    So threads that were given up are bounded by the limiter, and no more calls run than the pool has connections.

    Args:
        work: Blocks; its connection is noted by the engine (see ``engine``).
        limiter: For the threads.
        timeout_s: Seconds, with the wait for a place.

    Raises:
        DatabaseUnavailable: It was not done in time. Nobody knows whether a change was made.

    Cancellation: takes effect before the thread starts. A call that runs is waited for, for a moment, and its result
    returned; one that is late is given up as at the deadline.
    """
    deadline = trio.current_time() + timeout_s
    call = _Call(work)
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


async def _wait(call: _Call[T], deadline: float) -> None:
    """Wait until the call is done, or give it up."""
    try:
        with trio.move_on_at(deadline):
            await call.done.wait()
    except trio.Cancelled:  # noqa: ASYNC103  where the work is done: see below
        latest = min(deadline, trio.current_time() + _CANCEL_GRACE_S)
        with trio.CancelScope(shield=True, deadline=latest):
            await call.done.wait()
        if call.result is None:
            raise
        # As of a thread that cannot be cancelled: what is done is said, and the next checkpoint is cancelled.
    finally:
        if call.result is None:
            call.give_up()


def _late(timeout_s: float) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"The service's database did not answer within {timeout_s:g} s; try again in a moment.", reason="timeout"
    )
