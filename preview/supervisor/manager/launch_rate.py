"""How often a user may launch: a window of the last minute, checked and taken in one step."""

from __future__ import annotations

import math
from collections import deque

import trio

from preview.errors import TooManyLaunches

_WINDOW_S = 60.0


class LaunchRate:
    """Counts launches by user. Synchronous, so that the check and the claim behind it are one step.

    Args:
        per_minute: How many launches of one user may begin within any minute.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        # When each launch of the last minute began; a user without one is not kept.
        self._begun: dict[str, deque[float]] = {}

    def check(self, user_id: str) -> None:
        """Nothing, where this user may launch now; nothing is counted.

        Raises:
            TooManyLaunches: The user has had as many as allowed.
        """
        now = trio.current_time()
        self._forget(now)
        begun = self._begun.get(user_id)
        if begun and len(begun) >= self._per_minute:
            wait_s = max(1, math.ceil(begun[0] + _WINDOW_S - now))
            raise TooManyLaunches(
                f"You have launched {len(begun)} times within a minute, and may not more often; "
                f"try again in {wait_s} s.",
                limit=self._per_minute,
                retry_after_s=wait_s,
            )

    def take(self, user_id: str) -> None:
        """Count a launch that begins now.

        Raises:
            TooManyLaunches: As ``check``; nothing is counted.
        """
        self.check(user_id)
        self._begun.setdefault(user_id, deque()).append(trio.current_time())

    def _forget(self, now: float) -> None:
        for user_id in list(self._begun):
            begun = self._begun[user_id]
            while begun and begun[0] <= now - _WINDOW_S:
                begun.popleft()
            if not begun:
                del self._begun[user_id]
