"""Crashes of a preview's process: after which of them it is started again, and when."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from preview.core.clock import utc_now

# The longest pause: a person who looks at the page waits for it.
_MOST_PAUSE_S = 30.0


class GaveUp(StrEnum):
    """Reason why a process is not started again."""

    OFTEN = "often"
    MEMORY = "memory"


class RestartBudget:
    """Decide whether a process that has crashed is started again, and after which pause. Pure.

    1. Out of memory a second time in a row: no.
    2. ``most`` restarts in the window, or as many starts without success in a row: no.
    3. Else after a pause that doubles with each restart in the window.

    Args:
        most: Maximum number of restarts in a window.
        window_s: Length of the window.
        first_pause_s: The first pause.
    """

    def __init__(self, most: int, window_s: float, first_pause_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._first_pause_s = first_pause_s
        # Times of the restarts that count. Invariant: at most ``most``.
        self._restarts: deque[float] = deque()
        self._was_out_of_memory = False

    @property
    def count(self) -> int:
        """Number of restarts that count now."""
        return len(self._restarts)

    def crashed(self, at: float, *, served: bool, out_of_memory: bool) -> float | GaveUp:
        """Take a crash; return the pause in seconds before the restart, or why there is none.

        Args:
            at: Time of the crash, by any clock that does not go back.
            served: False if the process is a restarted one that never served.
            out_of_memory: The process was ended for its use of memory.
        """
        is_second = out_of_memory and self._was_out_of_memory
        self._was_out_of_memory = out_of_memory
        if is_second:
            return GaveUp.MEMORY
        # Starts without success count for as long as they follow each other: each may take longer than the window.
        while served and self._restarts and self._restarts[0] <= at - self._window_s:
            self._restarts.popleft()
        if len(self._restarts) >= self._most:
            return GaveUp.OFTEN
        pause_s = min(_MOST_PAUSE_S, self._first_pause_s * 2.0 ** len(self._restarts))
        self._restarts.append(at)
        return pause_s


@dataclass(frozen=True, slots=True)
class Crash:
    """The newest crash after which a preview's process is started again.

    Attributes:
        count: Number of such crashes since the launch, with this one.
        exit: How the process ended: ``exit code 1``.
        reason: One sentence.
        at: Time of the crash.
        is_restarting: True until a process serves again.
    """

    count: int
    exit: str
    reason: str
    at: datetime
    is_restarting: bool = True


def next_crash(before: Crash | None, ended: str, reason: str) -> Crash:
    """Return the crash that follows ``before``, with how the process ended and why."""
    return Crash(1 if before is None else before.count + 1, ended, reason, utc_now())
