"""Delay of the event loop: that of every request, line and preview."""

from __future__ import annotations

from collections.abc import Iterator

import trio
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from preview.http.metrics.families import add_histogram
from preview.http.metrics.histogram import FAST_S, Histogram

# Each wake-up costs some 20 microseconds.
_INTERVAL_S = 0.5


class LoopLag(Collector):
    """Measures how late a task is that sleeps for half a second."""

    def __init__(self) -> None:
        self._lags = Histogram(FAST_S)

    async def run(self) -> None:
        """Measure until cancelled. Cancellation: ends at once."""
        while True:
            due = trio.current_time() + _INTERVAL_S
            await trio.sleep_until(due)
            self._lags.add(trio.current_time() - due)

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        family = HistogramMetricFamily("preview_loop_lag_seconds", "Delay of the event loop.", labels=[])
        add_histogram(family, [], self._lags)
        yield family
