"""State machines of alerts: from events with their times to firings. Pure: no clock, no waiting.

Times are seconds of one clock. A time before the newest one counts as the newest one, so that a clock that is set back
changes nothing.
"""

from __future__ import annotations

import math
from collections import deque

# Accuracy of a rate's window: a thirtieth of it.
_BUCKETS = 30


class CoolDown:
    """Time after a firing in which the rule does not fire again.

    Args:
        seconds: Length of the cool-down.

    Attributes:
        ready_at: Time of the next possible firing.
        suppressed: Number of firings that the cool-down has prevented since the last one.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.ready_at = -math.inf
        self.suppressed = 0

    def take(self, at: float) -> bool:
        """Start a cool-down and return True; return False during one."""
        if at < self.ready_at:
            return False
        self.ready_at = at + self._seconds
        return True


class Threshold:
    """Fires at the ``count``-th event within a window. The events of a firing do not count for the next one.

    Args:
        count: Number of events.
        within_s: Length of the window.
        cool_down: Shared with earlier previews of the generation.
    """

    def __init__(self, count: int, within_s: float, cool_down: CoolDown) -> None:
        self._count = count
        self._within_s = within_s
        self._cool_down = cool_down
        # The newest events of the window; older ones than ``count`` decide nothing.
        self._times: deque[float] = deque(maxlen=count)
        self._now = -math.inf

    def see(self, at: float) -> bool:
        """Take an event; return True if it fires."""
        at = self._now = max(self._now, at)
        self._times.append(at)
        if len(self._times) < self._count or self._times[0] < at - self._within_s:
            return False
        if not self._cool_down.take(at):
            self._cool_down.suppressed += 1
            return False
        self._times.clear()
        return True


class Silence:
    """Fires when no event came for some time; once for each silence.

    Args:
        for_s: Length of the silence.
        cool_down: Delays a firing; shared with earlier previews of the generation.
    """

    def __init__(self, for_s: float, cool_down: CoolDown) -> None:
        self._for_s = for_s
        self._cool_down = cool_down
        # Start of the silence; None while nothing is expected, or after the firing.
        self._since: float | None = None
        self._is_watching = False
        self._now = -math.inf

    @property
    def due_at(self) -> float:
        """Time at which it fires if nothing happens before; infinite if it does not."""
        if self._since is None:
            return math.inf
        return max(self._since + self._for_s, self._cool_down.ready_at)

    def start(self, at: float) -> None:
        """Begin to expect events; does nothing if it expects them already."""
        if not self._is_watching:
            self._is_watching = True
            self._see(at)

    def stop(self) -> None:
        """Expect nothing any more."""
        self._is_watching, self._since = False, None

    def see(self, at: float) -> None:
        """Take an event."""
        if self._is_watching:
            self._see(at)

    def _see(self, at: float) -> None:
        self._since = self._now = max(self._now, at)

    def check(self, at: float) -> bool:
        """Return True if it fires now."""
        at = self._now = max(self._now, at)
        if at < self.due_at or not self._cool_down.take(at):
            return False
        self._since = None
        return True


class Edge:
    """Fires when something becomes true; again only after it was false.

    Args:
        cool_down: Delays a firing; shared with earlier previews of the generation.
    """

    def __init__(self, cool_down: CoolDown) -> None:
        self._cool_down = cool_down
        self._is_armed = True
        self._now = -math.inf

    def see(self, at: float, *, is_true: bool) -> bool:
        """Take the current value; return True if it fires."""
        at = self._now = max(self._now, at)
        if not is_true:
            self._is_armed = True
            return False
        if not self._is_armed or not self._cool_down.take(at):
            return False
        self._is_armed = False
        return True


class Rate:
    """Fires when the share of errors in a window becomes high; again only after it was lower.

    Args:
        share: Share of errors that is high.
        within_s: Length of the window, to a thirtieth.
        at_least: Events in the window that are needed to tell.
        cool_down: Shared with earlier previews of the generation.
    """

    def __init__(self, share: float, within_s: float, at_least: int, cool_down: CoolDown) -> None:
        self._share = share
        self._width_s = within_s / _BUCKETS
        self._at_least = at_least
        self._edge = Edge(cool_down)
        # Bucket, events, errors; oldest first.
        self._buckets: deque[tuple[int, int, int]] = deque()
        self._now = -math.inf

    def see(self, at: float, *, is_error: bool) -> bool:
        """Take an event; return True if it fires."""
        at = self._now = max(self._now, at)
        bucket = math.floor(at / self._width_s)
        events = errors = 0
        if self._buckets and self._buckets[-1][0] == bucket:
            _, events, errors = self._buckets.pop()
        self._buckets.append((bucket, events + 1, errors + is_error))
        while self._buckets[0][0] <= bucket - _BUCKETS:
            self._buckets.popleft()
        total = sum(one[1] for one in self._buckets)
        failed = sum(one[2] for one in self._buckets)
        return self._edge.see(at, is_true=total >= self._at_least and failed >= self._share * total)
