"""Turns of builds: a bounded number at once, shared fairly among users."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

_MOST_REMEMBERED: Final = 1000


@dataclass(eq=False, slots=True)
class _Waiter:
    """A build that waits for its turn."""

    owner: str
    admitted: trio.Event = field(default_factory=trio.Event)


class BuildTurns:
    """FIFO turns of builds, the users one after the other.

    A user has at most one turn less than there are, so that a user with long builds does not keep out all others. Of
    the users that wait, the one with the fewest turns comes next, then the one whose last turn is the longest ago.

    Args:
        most: Builds at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_each = max(1, most - 1)
        self._running: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []
        self._last: dict[str, int] = {}
        self._count = 0

    @property
    def running(self) -> int:
        """Number of builds that have a turn."""
        return self._running.total()

    @asynccontextmanager
    async def open_turn(self, owner: str, queued: Callable[[int], None]) -> AsyncIterator[None]:
        """Wait for a turn; it lasts until the context is left.

        Args:
            owner: The user.
            queued: Called with the number of builds that run, unless a turn is free at once.

        Cancellation: the turn is given to the next one.
        """
        waiter = _Waiter(owner)
        self._waiting.append(waiter)
        self._admit()
        if not waiter.admitted.is_set():
            queued(self.running)
        try:
            await waiter.admitted.wait()
            yield
        finally:
            if waiter.admitted.is_set():
                self._running[owner] -= 1
                if not self._running[owner]:
                    del self._running[owner]
            else:
                self._waiting.remove(waiter)
            self._admit()

    def _admit(self) -> None:
        while self.running < self._most:
            may = [one for one in self._waiting if self._running[one.owner] < self._most_each]
            if not may:
                return
            found = min(may, key=lambda one: (self._running[one.owner], self._last.get(one.owner, 0)))
            self._waiting.remove(found)
            self._running[found.owner] += 1
            self._count += 1
            self._last.pop(found.owner, None)
            self._last[found.owner] = self._count
            if len(self._last) > _MOST_REMEMBERED:
                del self._last[next(iter(self._last))]
            found.admitted.set()
