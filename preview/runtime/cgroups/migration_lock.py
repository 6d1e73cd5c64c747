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
    """Held open for those who are about to enter a group. Made by ``open_door`` alone."""

    def __init__(self) -> None:
        # time.monotonic()
        self._until = 0.0
        self._wanted = trio.Event()

    def expect(self) -> None:
        """Somebody enters now, or is likely to within the next seconds."""
        self._until = time.monotonic() + _OPEN_S
        self._wanted.set()

    def close(self) -> None:
        """Nobody is expected any more."""
        self._until = 0.0

    async def attend(self) -> None:
        """Hold it open whenever somebody is expected, for ever. Cancellation: in milliseconds, once it is closed."""
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            await trio.to_thread.run_sync(self._hold)

    def _hold(self) -> None:
        try:
            entry = _own_entry()
            while entry is not None and time.monotonic() < self._until:
                # The writer itself, which is in this very group.
                files.write(entry, "0")
                time.sleep(_PAUSE_S)
        except OSError:  # nor is it held where no descriptor is free: then they wait
            return


@asynccontextmanager
async def open_door() -> AsyncIterator[MigrationLockWarmer]:
    """Provide the warmer's task. Cancellation: it ends."""
    door = MigrationLockWarmer()
    async with beside(door.attend):
        try:
            yield door
        finally:
            door.close()


def _own_entry() -> str | None:
    """Return the entry of this process's current group; it may have been moved since its start."""
    places = read_own_groups()
    place = places.controllers.get("pids") or places.unified
    return None if place is None else f"{place.directory}/cgroup.procs"
