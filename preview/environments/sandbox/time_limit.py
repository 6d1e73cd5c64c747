"""The time limit of a build. Time in which the machine's programs wait for a processor does not count.

A package that compiles for two minutes takes twenty on a loaded machine. The kernel counts how long at least one
program could have run and did not (``/proc/pressure/cpu``); by that the limit grows, to four times its length at most.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import trio

T = TypeVar("T")
_MOST_TIMES: Final = 4
# A shorter wait does not move the limit.
_LEAST_S: Final = 0.25
_PRESSURE: Final = Path("/proc/pressure/cpu")


def waited_s() -> float:
    """Return the seconds since the machine's start in which a program waited for a processor; 0 if nothing counts."""
    try:
        first = _PRESSURE.read_text("ascii").partition("\n")[0]
        return int(first.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return 0.0


@dataclass(slots=True)
class TimeLimit:
    """One limit.

    Attributes:
        limit_s: Seconds, as set.
        waited: Returns how long programs have waited for a processor.
        left_out_s: Seconds of such waits by which the limit has grown.
    """

    limit_s: float
    waited: Callable[[], float] = waited_s
    left_out_s: float = 0.0

    async def run(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of ``work``; None if it was cancelled at the limit. Errors stay unwrapped.

        Cancellation: ``work`` is cancelled.
        """
        result: T | None = None
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope, trio.current_time(), self.waited())
            try:
                result = await work()
            except Exception as error:  # noqa: BLE001  raised again below: the nursery would wrap it
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        return result

    async def _watch(self, scope: trio.CancelScope, began: float, before_s: float) -> None:
        while True:
            await trio.sleep_until(began + self.limit_s + self.left_out_s)
            left_out_s = min(self.waited() - before_s, (_MOST_TIMES - 1) * self.limit_s)
            if left_out_s < self.left_out_s + _LEAST_S:
                scope.cancel()
                return
            self.left_out_s = left_out_s

    def describe(self) -> str:
        """Return the limit for a message."""
        left_out = f", without {self.left_out_s:.0f} s of waiting for a processor" if self.left_out_s else ""
        return f"{self.limit_s:g} s{left_out}"


class Patience:
    """Seconds from now on, as ``TimeLimit`` counts them, for work that asks in between whether there is time left.

    Args:
        seconds: Seconds, as set.
        waited: See ``TimeLimit``.
    """

    def __init__(self, seconds: float, waited: Callable[[], float] = waited_s) -> None:
        self._seconds, self._waited = seconds, waited
        self._began, self._before_s = trio.current_time(), waited()

    @property
    def left_s(self) -> float:
        """Seconds that are left; below zero if there are none."""
        left_out_s = min(self._waited() - self._before_s, (_MOST_TIMES - 1) * self._seconds)
        return self._began + self._seconds + left_out_s - trio.current_time()
