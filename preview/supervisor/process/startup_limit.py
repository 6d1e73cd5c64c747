"""The start-up limit of a preview. Time in which it only waits for a processor does not count.

On a loaded machine a program that needs 5 s of processor time may get it within a minute. The kernel counts for each
thread how long it could have run and did not (``/proc/PID/task/TID/schedstat``, second field). The limit grows by the
longest such wait, to four times its length at most: a program can make its own threads wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from preview.runtime.kernel import proctree

_MOST_TIMES = 4
# A shorter wait does not move the limit.
_LEAST_S = 0.25
_MOST_THREADS = 1000


@dataclass(slots=True)
class StartupLimit:
    """One start-up limit.

    Attributes:
        limit_s: Seconds from now, as set.
        left_out_s: Seconds of waiting for a processor by which the limit has grown so far.
    """

    limit_s: float
    left_out_s: float = 0.0

    async def run(self, work: Callable[[], Awaitable[object]], measure: Callable[[], Awaitable[float]]) -> bool:
        """Run ``work``, and return whether it ended within the limit.

        Args:
            work: Cancelled at the limit.
            measure: Returns how many seconds the preview has waited for a processor. Called only at the limit.

        Cancellation: ``work`` is cancelled.
        """
        began = trio.current_time()
        done = False

        async def watch(scope: trio.CancelScope) -> None:
            while True:
                await trio.sleep_until(began + self.limit_s + self.left_out_s)
                waited_s = min(await measure(), (_MOST_TIMES - 1) * self.limit_s)
                if waited_s < self.left_out_s + _LEAST_S:
                    scope.cancel()
                    return
                self.left_out_s = waited_s

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, nursery.cancel_scope)
            await work()
            done = True
            nursery.cancel_scope.cancel()
        return done

    def describe(self) -> str:
        """Return the limit for a message: ``30 s of its start (PREVIEW_STARTUP_TIMEOUT)``."""
        left_out = f", without {self.left_out_s:.0f} s of waiting for a processor" if self.left_out_s else ""
        return f"{self.limit_s:g} s of its start (PREVIEW_STARTUP_TIMEOUT){left_out}"


async def measure_wait(leader: int | None) -> float:
    """Return the longest time, in seconds, that a thread of this process tree has waited for a processor.

    Cancellation: nothing changes; the thread continues for some milliseconds.
    """
    if leader is None:
        return 0.0
    return await trio.to_thread.run_sync(_longest_wait, leader, abandon_on_cancel=True)


def _longest_wait(leader: int) -> float:
    longest, left = 0, _MOST_THREADS
    try:
        below = proctree.descendants(leader)
    except OSError:  # no descriptor is free
        below = []
    for pid in (leader, *below):
        try:
            threads = os.listdir(f"/proc/{pid}/task")[:left]  # noqa: PTH208  as elsewhere for /proc
        except OSError:  # it has ended
            continue
        left -= len(threads)
        longest = max([longest, *(_wait_of(f"/proc/{pid}/task/{thread}/schedstat") for thread in threads)])
        if left <= 0:
            break
    return longest / 1e9


def _wait_of(path: str) -> int:
    """Return the nanoseconds of one thread; 0 if it has ended, or if the kernel does not count them."""
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123  as elsewhere for /proc
            return int(file.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
