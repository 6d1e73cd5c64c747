"""Counts of durations by range, for metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import inf

FAST_S = (0.001, 0.005, 0.02, 0.1, 0.5, 2.5, 10)
"""Bounds in seconds for calls and delays of milliseconds."""
LAUNCH_S = (0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Bounds in seconds for launches: the aim is well below a second, an installation takes minutes."""


class Histogram:
    """Counts durations without a lock: one thread both counts and reads.

    Args:
        bounds_s: Upper bounds in seconds, ascending; each includes its bound, as Prometheus' ``le``.
    """

    __slots__ = ("_bounds_s", "_counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float]) -> None:
        self._bounds_s = bounds_s
        # The last one is for durations above all bounds.
        self._counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds_s, duration_s)] += 1
        self.sum_s += duration_s

    def within(self) -> Iterator[tuple[float, int]]:
        """Yield each bound in seconds with the number of durations up to it; the last bound is infinite."""
        yield from zip((*self._bounds_s, inf), accumulate(self._counts), strict=True)
