"""Conversion to the types of ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from preview.http.metrics.histogram import Histogram


def add_histogram(family: HistogramMetricFamily, labels: Sequence[str], found: Histogram) -> None:
    """Add a histogram's values to the family, with these labels."""
    family.add_metric(
        labels, [("+Inf" if isinf(bound) else str(float(bound)), count) for bound, count in found.within()], found.sum_s
    )


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    """Return a counter without labels; its sample's name ends with ``_total``."""
    return CounterMetricFamily(name, text, value=value)
