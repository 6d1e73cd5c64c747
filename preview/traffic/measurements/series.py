"""Measurements of one preview for its whole life: a series for charts, and counts by endpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from preview.traffic.draft import Draft
from preview.traffic.measurements.endpoint_name import endpoint_name
from preview.traffic.record import Origin

MAX_POINTS: Final = 240
"""Points of a series. When they are used up, two become one, and each covers twice the time."""

MAX_ENDPOINTS: Final = 200
OTHERS: Final = "other paths"
"""Stands for all endpoints after the first ``MAX_ENDPOINTS``."""

_FIRST_INTERVAL_S: Final = 1.0
# From 1 ms to 2 min, in steps of 26 %: a percentile is at most so far off.
_BOUNDS_S: Final = tuple(0.001 * 1.26**step for step in range(52))


class Durations:
    """Counts of durations, by size; gives percentiles."""

    __slots__ = ("_counts", "count", "slowest_s")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.slowest_s = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        place = bisect_left(_BOUNDS_S, seconds)
        self._counts[place] = self._counts.get(place, 0) + 1
        self.count += 1
        self.slowest_s = max(self.slowest_s, seconds)

    def packed(self) -> tuple[float, list[int]]:
        """Return the slowest in seconds, and places and counts in turn."""
        return round(self.slowest_s, 4), [number for item in sorted(self._counts.items()) for number in item]

    @classmethod
    def unpacked(cls, slowest_s: float, numbers: Sequence[int]) -> Durations:
        """Return what ``packed`` has given."""
        made = cls()
        made._counts = dict(zip(numbers[::2], numbers[1::2], strict=True))
        made.count, made.slowest_s = sum(numbers[1::2]), slowest_s
        return made

    def merge(self, other: Durations) -> None:
        """Add the counts of another one."""
        for place, count in other._counts.items():
            self._counts[place] = self._counts.get(place, 0) + count
        self.count += other.count
        self.slowest_s = max(self.slowest_s, other.slowest_s)

    def percentile_s(self, share: float) -> float | None:
        """Return the duration that this share of all does not exceed, in seconds; None without any."""
        left = share * self.count
        for place in sorted(self._counts):
            left -= self._counts[place]
            if left <= 0:
                return min(_BOUNDS_S[place] if place < len(_BOUNDS_S) else self.slowest_s, self.slowest_s)
        return None


@dataclass(slots=True)
class Point:
    """Measurements of one interval.

    Attributes:
        requests: Requests that ended in it.
        errors: Those with a status from 500 on, or without a response.
        memory_bytes: Most memory that was measured; None without a measurement.
        cpu_percent: Highest use of the processor, in percent of one core.
    """

    requests: int = 0
    errors: int = 0
    durations: Durations = field(default_factory=Durations)
    memory_bytes: int | None = None
    cpu_percent: float | None = None

    def merge(self, other: Point) -> None:
        """Add the measurements of another interval."""
        self.requests += other.requests
        self.errors += other.errors
        self.durations.merge(other.durations)
        self.measure(other.memory_bytes, other.cpu_percent)

    def measure(self, memory_bytes: int | None, cpu_percent: float | None) -> None:
        """Note a measurement; the highest one stays."""
        if memory_bytes is not None:
            self.memory_bytes = max(self.memory_bytes or 0, memory_bytes)
        if cpu_percent is not None:
            self.cpu_percent = max(self.cpu_percent or 0.0, cpu_percent)


@dataclass(slots=True)
class EndpointCounts:
    """Requests to one method on one kind of path."""

    errors: int = 0
    durations: Durations = field(default_factory=Durations)


class PreviewSeries:
    """Measurements of one preview, from its launch on, across reloads. Its memory is bounded.

    Invariant: each index in ``points`` is below ``MAX_POINTS``.

    Args:
        clock: Seconds that never go back.

    Attributes:
        interval_s: Seconds that one point covers.
        points: Measurements by number of the interval; intervals without any are missing.
        endpoints: Counts by method and path, in the order of their first request.
        changes: Number of measurements so far.
    """

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        self._clock = clock
        self._began = clock()
        self.interval_s = _FIRST_INTERVAL_S
        self.points: dict[int, Point] = {}
        self.endpoints: dict[str, EndpointCounts] = {}
        self.changes = 0

    def count_request(self, _number: int, draft: Draft) -> None:
        """Count a recorded request that has ended. Checks of the service are left out."""
        if draft.origin is not Origin.CHECK:
            self.count(endpoint_name(draft.method, draft.target), draft.status, draft.ended)

    def count(self, name: str, status: int, seconds: float) -> None:
        """Count a request that has ended.

        Args:
            name: The endpoint; see ``endpoint_name``.
            status: Status of the response; 0 without one.
            seconds: From the arrival to the end.
        """
        is_error = status >= 500 or status == 0
        point = self._now()
        if name not in self.endpoints and len(self.endpoints) >= MAX_ENDPOINTS:
            name = OTHERS
        counts = self.endpoints.get(name)
        if counts is None:
            counts = self.endpoints[name] = EndpointCounts()
        point.requests += 1
        point.errors += is_error
        counts.errors += is_error
        seconds = max(0.0, seconds)
        point.durations.add(seconds)
        counts.durations.add(seconds)

    def measure(self, memory_bytes: int, cpu_percent: float) -> None:
        """Note what the preview's processes use now."""
        self._now().measure(memory_bytes, cpu_percent)

    def _now(self) -> Point:
        self.changes += 1
        elapsed_s = max(0.0, self._clock() - self._began)
        while (at := int(elapsed_s / self.interval_s)) >= MAX_POINTS:
            self._halve()
        point = self.points.get(at)
        if point is None:
            point = self.points[at] = Point()
        return point

    def _halve(self) -> None:
        """Make one point of each two."""
        self.interval_s *= 2
        halved: dict[int, Point] = {}
        for at, point in self.points.items():
            if at // 2 in halved:
                halved[at // 2].merge(point)
            else:
                halved[at // 2] = point
        self.points = halved


def findings(series: PreviewSeries, *, memory_limit_bytes: int | None) -> list[str]:
    """Name bottlenecks in sentences with numbers, the worst first; empty if there are none."""
    points: Sequence[Point] = list(series.points.values())
    found: list[str] = []
    memory = max((point.memory_bytes or 0 for point in points), default=0)
    if memory_limit_bytes and memory > 0.85 * memory_limit_bytes:
        share = round(100 * memory / memory_limit_bytes)
        found.append(f"Memory was at {share} % of its limit of {memory_limit_bytes // 2**20} MB.")
    requests, errors = sum(point.requests for point in points), sum(point.errors for point in points)
    if errors and errors >= 0.01 * requests:
        worst, counts = max(series.endpoints.items(), key=lambda one: one[1].errors)
        percent = f"{100 * errors / requests:.1f} %"
        found.append(f"{errors} of {requests} requests failed ({percent}), most at {worst} ({counts.errors}).")
    named = [(name, one.durations) for name, one in series.endpoints.items() if one.durations.count]
    if named:
        name, durations = max(named, key=lambda one: one[1].percentile_s(0.95) or 0.0)
        median, high = durations.percentile_s(0.5) or 0.0, durations.percentile_s(0.95) or 0.0
        found.append(f"Slowest: {name}, half within {1000 * median:.0f} ms, 95 % within {1000 * high:.0f} ms.")
        name, durations = max(named, key=lambda one: one[1].count)
        found.append(f"Most called: {name}, {durations.count} of {requests} requests.")
    return found
