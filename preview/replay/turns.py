"""Turns of users: sequences of requests and their answers take memory and time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import trio


class UserTurns:
    """One replay, comparison or run of checks of each user at a time. Further ones wait, in order."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def take(self, user_id: str) -> AsyncIterator[None]:
        """Wait for the user's turn, and hold it. Cancellation: the turn is free for the next one."""
        lock = self._locks.setdefault(user_id, trio.Lock())
        async with lock:
            yield
