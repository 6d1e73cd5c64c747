"""Counters for Prometheus, in a registry that belongs to this app."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import accumulate
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

METRICS_TYPE: Final = CONTENT_TYPE_LATEST

# The service's own responses should take at most 200 ms; stops, and launches with ``Prefer: wait``, take longer.
_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUSES = frozenset(map(int, HTTPStatus))

Answered = Callable[[str, str, int, float], None]
"""Called for each response: see ``Metrics.answered``."""


class _Answers:
    """Number and total time of responses of one kind."""

    __slots__ = ("buckets", "count", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        # By the smallest bound that each response met; the last bucket is for those that met none.
        self.buckets = [0] * (len(_BUCKETS_S) + 1)


class _Tally(Collector):
    """Counts responses without locks: one thread both counts and reads.

    A request to a preview costs about 30 microseconds; counting in the library would add 10 %.
    """

    def __init__(self) -> None:
        self.known: dict[tuple[str, str, int], _Answers] = {}

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        requests = CounterMetricFamily(
            "preview_http_requests", "Answered requests.", labels=["route", "method", "status"]
        )
        seconds = HistogramMetricFamily(
            "preview_http_request_seconds", "Time to the head of the answer.", labels=["route"]
        )
        bounds = [*map(floatToGoString, _BUCKETS_S), "+Inf"]
        for (route, method, status), found in self.known.items():
            requests.add_metric([route, method, str(status)], found.count)
        for route in dict.fromkeys(route for route, _, _ in self.known):
            its = [found for key, found in self.known.items() if key[0] == route]
            within = accumulate(map(sum, zip(*(found.buckets for found in its), strict=True)))
            seconds.add_metric([route], list(zip(bounds, within, strict=True)), sum(found.sum_s for found in its))
        yield requests
        yield seconds


class Metrics:
    """Counters and gauges.

    Args:
        streams: Returns the number of open log streams.
        direct_streams: Returns the number of these that write to their sockets directly.
        previews: Returns the number of live previews.
    """

    def __init__(
        self, *, streams: Callable[[], float], direct_streams: Callable[[], float], previews: Callable[[], float]
    ) -> None:
        self.registry = CollectorRegistry()
        self._tally = _Tally()
        self.registry.register(self._tally)
        open_streams = Gauge("preview_log_streams", "Open log streams.", ["path"], registry=self.registry)
        open_streams.labels("direct").set_function(direct_streams)
        open_streams.labels("ordinary").set_function(lambda: streams() - direct_streams())
        Gauge("preview_previews", "Live previews.", registry=self.registry).set_function(previews)

    def answered(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response.

        Args:
            route: Name of the route. Never the path, because the number of names is bounded.
            method: HTTP method; an unknown one counts as ``OTHER``.
            status: HTTP status; an unregistered one counts as the first of its class.
            elapsed_s: Seconds to the head of the response.
        """
        found = self._tally.known.get((route, method, status)) or self._kind(route, method, status)
        found.count += 1
        found.sum_s += elapsed_s
        found.buckets[bisect_left(_BUCKETS_S, elapsed_s)] += 1

    def _kind(self, route: str, method: str, status: int) -> _Answers:
        known = method if method in _METHODS else "OTHER"
        # A preview may respond with any number.
        told = status if status in _STATUSES else status // 100 * 100
        return self._tally.known.setdefault((route, known, told), _Answers())

    def render(self) -> bytes:
        """Return the text exposition."""
        return generate_latest(self.registry)
