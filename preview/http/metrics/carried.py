"""Bytes of the relay."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Carried(Collector):
    """Bytes of content that a relay has carried; WebSockets and other protocols are counted as a whole.

    Attributes:
        to_browsers: Bytes that previews have sent.
        from_browsers: Bytes that previews have got.
    """

    __slots__ = ("from_browsers", "to_browsers")

    def __init__(self) -> None:
        self.to_browsers = self.from_browsers = 0

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        family = CounterMetricFamily("preview_relay_bytes", "Content that the relay has carried.", labels=["direction"])
        family.add_metric(["to_browsers"], self.to_browsers)
        family.add_metric(["from_browsers"], self.from_browsers)
        yield family
