"""Keeps the kernel's lock for entering control groups warm, so that processes enter without a wait.

Moving a process to a group takes a lock that is rarely used. The kernel then waits until each processor has noticed (an
RCU grace period, 7 to 15 ms on an idle machine). As long after the last move, the lock turns cold again. So during and
shortly before launches, the service moves itself into its current group every few milliseconds. The move changes
nothing, and other processes then enter without a wait. All hierarchies share this lock.

Source: kernel/cgroup/cgroup.c, ``cgroup_attach_lock``; kernel/rcu/sync.c.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.runtime.cgroups import files
from preview.runtime.cgroups.own_groups import read_own_groups
from preview.runtime.kernel.linux import beside

# A push or a launch is usually followed by a launch within this time. Keeping the lock warm costs some 20 us every
# _PAUSE_S.
_OPEN_S = 5.0
# Shorter than the time after which the lock turns cold.
_PAUSE_S = 0.007


class MigrationLockWarmer:
    """Keeps the lock warm for processes that will soon enter a group. Made by ``open_lock_warmer``."""

    def __init__(self) -> None:
        # time.monotonic()
        self._until = 0.0
        self._wanted = trio.Event()

    def request(self) -> None:
        """Keep the lock warm for the next seconds, because a process is likely to enter a group."""
        self._until = time.monotonic() + _OPEN_S
        self._wanted.set()

    def close(self) -> None:
        """Stop keeping the lock warm."""
        self._until = 0.0

    async def run(self) -> None:
        """Keep the lock warm after each request. Cancellation: returns within milliseconds once ``close`` is called."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.to_thread.run_sync(self._keep_warm)

    def _keep_warm(self) -> None:
        try:
            entry = _own_entry()
            while entry is not None and time.monotonic() < self._until:
                # "0" means the writer itself, which is in this group already.
                files.write(entry, "0")
                time.sleep(_PAUSE_S)
        except OSError:  # Without a free descriptor, processes wait for the lock.
            return


@asynccontextmanager
async def open_lock_warmer() -> AsyncIterator[MigrationLockWarmer]:
    """Run a warmer as long as the context is open. Cancellation: the warmer ends."""
    warmer = MigrationLockWarmer()
    async with beside(warmer.run):
        try:
            yield warmer
        finally:
            warmer.close()


def _own_entry() -> str | None:
    """Return the ``cgroup.procs`` of this process's current group; the group may have changed since the start."""
    places = read_own_groups()
    place = places.controllers.get("pids") or places.unified
    return None if place is None else f"{place.directory}/cgroup.procs"
