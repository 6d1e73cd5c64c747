"""A warning when the host blocks the thread that it shares with the service."""

from __future__ import annotations

from typing import Final

import structlog
import trio

log = structlog.get_logger(__name__)

_EVERY_S: Final = 1.0
LATE_S: Final = 1.0
# One warning in this time, with the worst delay since the last one.
_QUIET_S: Final = 60.0


async def warn_when_late() -> None:
    """Log when this task is woken a second late or more: meanwhile no line was read and no deadline was kept.

    Runs until cancelled. Cancellation: nothing is logged.
    """
    worst_s, warned_at = 0.0, float("-inf")
    while True:
        due = trio.current_time() + _EVERY_S
        await trio.sleep_until(due)
        now = trio.current_time()
        worst_s = max(worst_s, now - due)
        if worst_s >= LATE_S and now - warned_at >= _QUIET_S:
            log.warning(
                "host blocks the event loop",
                for_s=round(worst_s, 1),
                remedy="run blocking functions in a thread, or run `preview serve` as a process of its own",
            )
            worst_s, warned_at = 0.0, now
