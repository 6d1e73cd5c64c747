"""Entering a control group without a wait: the kernel's lock is warmed early.

A move of a process to a group takes a lock that nobody else wants often. The kernel waits until each processor has
noticed (an RCU grace period, 7 to 15 ms on an idle machine), and forgets about it as long after the last move. So while
launches are under way, or likely, the service moves itself every few milliseconds to where it is already: that changes
nothing, and a process that enters meanwhile has no wait. All trees share the one lock.

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

# What was pushed is launched soon, and what was launched is changed or launched again. Held open for so long it costs
# some 20 us every _PAUSE_S.
_OPEN_S = 5.0
# Less than the kernel remembers.
_PAUSE_S = 0.007


class MigrationLockWarmer:
    """Keeps the lock warm for processes that are about to enter a group. Made by ``open_lock_warmer``."""

    def __init__(self) -> None:
        # time.monotonic()
        self._until = 0.0
        self._wanted = trio.Event()

    def request(self) -> None:
        """Keep the lock warm for the next seconds: a process is likely to enter a group."""
        self._until = time.monotonic() + _OPEN_S
        self._wanted.set()

    def close(self) -> None:
        """Let the lock cool down."""
        self._until = 0.0

    async def run(self) -> None:
        """Keep the lock warm whenever that was requested. Cancellation: ends within milliseconds of ``close``."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.to_thread.run_sync(self._keep_warm)

    def _keep_warm(self) -> None:
        try:
            entry = _own_entry()
            while entry is not None and time.monotonic() < self._until:
                # The writer itself, which is in this very group.
                files.write(entry, "0")
                time.sleep(_PAUSE_S)
        except OSError:  # without a free descriptor processes wait for the lock
            return


@asynccontextmanager
async def open_lock_warmer() -> AsyncIterator[MigrationLockWarmer]:
    """Run a warmer for as long as this is open. Cancellation: it ends."""
    warmer = MigrationLockWarmer()
    async with beside(warmer.run):
        try:
            yield warmer
        finally:
            warmer.close()


def _own_entry() -> str | None:
    """Return the entry of this process's current group; it may have been moved since its start."""
    places = read_own_groups()
    place = places.controllers.get("pids") or places.unified
    return None if place is None else f"{place.directory}/cgroup.procs"
