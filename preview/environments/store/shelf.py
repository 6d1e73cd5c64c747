"""List and removal of stored environments, for operators."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import trio

from preview.environments.folders.environment import How
from preview.environments.folders.layout import Layout
from preview.environments.store.eviction import evict_one, last_use, try_exclusive
from preview.people_errors import EnvironmentInUse, EnvironmentNotFound

MOST_LISTED = 1000
"""Most environments in a list."""


@dataclass(frozen=True, slots=True)
class StoredEnvironment:
    """An environment on the disk.

    Attributes:
        last_used_at: Seconds since the epoch.
        is_in_use: Whether a process uses it now.
    """

    key: str
    size_bytes: int
    last_used_at: float
    is_in_use: bool


class Shelf:
    """The stored environments of one folder.

    Args:
        layout: The folder.
        threads: Limits the threads that use the disk.

    Attributes:
        taken: By language: numbers of requests, by how the environment was obtained.
    """

    def __init__(self, layout: Layout, threads: trio.CapacityLimiter) -> None:
        self.taken: dict[str, Counter[How]] = {}
        self._layout = layout
        self._threads = threads

    async def all(self) -> list[StoredEnvironment]:
        """Return the stored environments, the last used first. Cancellation: takes effect after the reading."""
        return await trio.to_thread.run_sync(self._list, limiter=self._threads)

    async def remove(self, key: str) -> None:
        """Remove an environment that nobody uses; the next launch that needs it builds it again.

        Raises:
            EnvironmentNotFound: There is none with this key.
            EnvironmentInUse: A preview or a template uses it, or it cannot be removed.

        Cancellation: takes effect after the removal.
        """
        await trio.to_thread.run_sync(self._remove, key, limiter=self._threads)

    def _list(self) -> list[StoredEnvironment]:
        layout = self._layout
        found = [
            StoredEnvironment(key, layout.size_bytes(key), last_use(layout, key), self._is_in_use(key))
            for key in layout.all_keys()
        ]
        return sorted(found, key=lambda one: one.last_used_at, reverse=True)[:MOST_LISTED]

    def _is_in_use(self, key: str) -> bool:
        if not self._layout.lock(key).exists():
            return False
        held = try_exclusive(self._layout, key)
        if held is None:
            return True
        held.release()
        return False

    def _remove(self, key: str) -> None:
        # The key is a file's name: only one from the list is used.
        if key not in self._layout.all_keys():
            raise EnvironmentNotFound("There is no environment with this key; list them.")
        if not evict_one(self._layout, key, last_use(self._layout, key)):
            raise EnvironmentInUse("A preview or a template uses this environment; stop its previews first.")
