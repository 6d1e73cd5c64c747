"""Metrics that a preview's program reports: the newest value of each series, in memory, within limits.

Nothing in them is verified, and they are never among the service's own metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from preview.core.clock import now_ms
from preview.tracing.span import clean_line

MOST_SERIES: Final = 200
"""Series of one preview; points of further ones are dropped and counted."""
MOST_BYTES: Final = 128 * 1024
"""Memory of one preview's series, roughly."""
MOST_POINTS_PER_S: Final = 2_000
"""Points that one preview may report in a second; later ones of this second are dropped and counted."""
MOST_ATTRIBUTES: Final = 16
"""Attributes of a series; further ones are left out."""
MOST_VALUE: Final = 100
"""Limit of an attribute's value in characters."""

_MOST_NAME, _MOST_UNIT, _MOST_KEY = 200, 30, 60
_MOST_NUMBER = 2.0**64
_MOST_DROPPED = 10**12
# Memory of a series besides its texts: the object, its tuple of attributes, its numbers, and its key.
_BASE_BYTES = 400
_PAIR_BYTES = 120
# A series without a point for this time makes room for a new one.
_STALE_MS = 300_000


@dataclass(slots=True)
class MetricPoint:
    """A point of a series as the program has sent it; any value may be wrong.

    Attributes:
        name, unit: Of the metric.
        kind: ``gauge``, ``sum``, ``counter``, ``histogram`` or ``summary``.
        temporality: ``cumulative`` or ``delta``; empty for a gauge or a summary.
        attributes: Keys and values that tell the metric's series apart.
        value: Of a gauge, sum or counter.
        count, total, least, most: Of a histogram or summary.
    """

    name: str
    unit: str
    kind: str
    temporality: str = ""
    attributes: list[tuple[str, str]] = field(default_factory=list)
    value: float | None = None
    count: int | None = None
    total: float | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """The newest point of a series: see ``MetricPoint``. Texts are of bounded length, and have no control characters.

    Attributes:
        updated_ms: Time of its arrival, in milliseconds since 1970.
    """

    name: str
    unit: str
    kind: str
    temporality: str
    attributes: tuple[tuple[str, str], ...]
    value: float | None
    count: int | None
    total: float | None
    least: float | None
    most: float | None
    updated_ms: int

    @property
    def size_bytes(self) -> int:
        """Memory that the series takes, roughly: a character is counted as four bytes."""
        characters = len(self.name) + len(self.unit) + sum(len(key) + len(value) for key, value in self.attributes)
        return _BASE_BYTES + _PAIR_BYTES * len(self.attributes) + 4 * characters


_Key = tuple[str, tuple[tuple[str, str], ...]]


class PreviewMetrics:
    """The series of one preview.

    Attributes:
        dropped: Points that were lost: of too many series, too fast, or without a usable number.
        size_bytes: Memory of the series, roughly.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.size_bytes = 0
        # By the time of their newest point, the oldest first.
        self._series: dict[_Key, MetricSeries] = {}
        self._left = 0
        self._second_ends = 0.0

    def take(self, point: MetricPoint) -> None:
        """Keep a point as the newest one of its series, if limits and rate allow it. Never waits."""
        now = monotonic()
        if now >= self._second_ends:
            self._second_ends, self._left = now + 1, MOST_POINTS_PER_S
        self._left -= 1
        series = _series_of(point) if self._left >= 0 else None
        if series is None or not self._keep(series):
            self.lose(1)

    def lose(self, count: int) -> None:
        """Count lost points."""
        self.dropped = min(self.dropped + count, _MOST_DROPPED)

    def _keep(self, series: MetricSeries) -> bool:
        key = series.name, series.attributes
        before = self._series.pop(key, None)
        self.size_bytes -= 0 if before is None else before.size_bytes
        while self._is_full(series.size_bytes):
            oldest = next(iter(self._series), None)
            if oldest is None or series.updated_ms - self._series[oldest].updated_ms < _STALE_MS:
                return False
            self.size_bytes -= self._series.pop(oldest).size_bytes
        self._series[key] = series
        self.size_bytes += series.size_bytes
        return True

    def _is_full(self, more_bytes: int) -> bool:
        return len(self._series) >= MOST_SERIES or self.size_bytes + more_bytes > MOST_BYTES

    def all(self) -> list[MetricSeries]:
        """Return all series by their names."""
        return sorted(self._series.values(), key=lambda one: (one.name, one.attributes))

    def clear(self) -> None:
        """Remove all series."""
        self._series.clear()
        self.size_bytes = 0


def _series_of(point: MetricPoint) -> MetricSeries | None:
    """Return the series of a point; None if it has no name, no number, or one that is out of bounds."""
    numbers = (point.value, point.total, point.least, point.most, point.count)
    # Nothing compares with NaN.
    if any(one is not None and not abs(one) <= _MOST_NUMBER for one in numbers):
        return None
    has_number = point.value is not None or point.count is not None
    name = clean_line(point.name, _MOST_NAME)
    if not name or not has_number or (point.count is not None and point.count < 0):
        return None
    pairs = {
        clean_line(key, _MOST_KEY): clean_line(value, MOST_VALUE) for key, value in point.attributes[:MOST_ATTRIBUTES]
    }
    return MetricSeries(
        name,
        clean_line(point.unit, _MOST_UNIT),
        point.kind,
        point.temporality,
        tuple(sorted(pairs.items())),
        point.value,
        point.count,
        point.total,
        point.least,
        point.most,
        now_ms(),
    )
