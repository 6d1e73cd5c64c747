"""Losses of the export by OTLP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

EXPORTED: Final = ("spans", "log_lines", "audit_entries")
"""Values of the label."""


@dataclass(eq=False, slots=True)
class LostExports(Collector):
    """Shows what no collector got.

    Args:
        lost: Numbers by kind.
    """

    lost: Counter[str]

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        family = CounterMetricFamily("preview_otlp_lost", "What an OTLP collector did not get.", labels=["kind"])
        for kind in EXPORTED:
            family.add_metric([kind], self.lost[kind])
        yield family
