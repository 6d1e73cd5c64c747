"""Threads that read the archive: a bound for all, for each user, and for the time of one read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast
from weakref import WeakValueDictionary

import trio

from preview.errors import DatabaseUnavailable

T = TypeVar("T")

# A read takes milliseconds from a folder, and up to a second from a store; a search ends after 0.25 s of work.
_READ_S = 15.0
_THREADS = 8
_THREADS_OF_USER = 2


class ArchiveReaders:
    """Runs reads in threads, so that neither a silent place nor a busy user takes all of them.

    A read that takes too long is given up, and its thread stays counted until it ends.
    """

    def __init__(self) -> None:
        self._all = trio.CapacityLimiter(_THREADS)
        self._of_users: WeakValueDictionary[str, trio.CapacityLimiter] = WeakValueDictionary()

    async def run(self, user_id: str, work: Callable[[], T]) -> T:
        """Run a read of a user's log in a thread.

        Raises:
            DatabaseUnavailable: It took too long, with the wait for a thread.

        Cancellation: returns at once; the thread ends later.
        """
        own = self._of_users.get(user_id)
        if own is None:
            own = self._of_users[user_id] = trio.CapacityLimiter(_THREADS_OF_USER)
        limiter = cast("trio.CapacityLimiter", _Both(own, self._all))
        with trio.move_on_after(_READ_S):
            return await trio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
        raise DatabaseUnavailable("The archive of logs takes too long; try again in a moment.", reason="archive")


class _Both:
    """A limiter of two: see ``trio.to_thread.run_sync``, which calls these two methods."""

    def __init__(self, own: trio.CapacityLimiter, common: trio.CapacityLimiter) -> None:
        self._own, self._common = own, common

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Wait for a thread. Cancellation: none is taken."""
        # First the user's own: who waits for that one keeps nobody else waiting.
        await self._own.acquire_on_behalf_of(borrower)
        try:
            await self._common.acquire_on_behalf_of(borrower)
        except BaseException:
            self._own.release_on_behalf_of(borrower)
            raise

    def release_on_behalf_of(self, borrower: object) -> None:
        """Give the thread back."""
        self._common.release_on_behalf_of(borrower)
        self._own.release_on_behalf_of(borrower)
