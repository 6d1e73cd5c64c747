"""Responses, and errors by their stable codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from preview.http.metrics.families import add_histogram
from preview.http.metrics.histogram import Histogram

# The service's own responses should take at most 200 ms; stops, and launches with ``Prefer: wait``, take longer.
_BOUNDS_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUSES = frozenset(map(int, HTTPStatus))

Answered = Callable[[str, str, int, float], None]
"""Called for each response: see ``Answers.add``."""


class Answers(Collector):
    """Counts responses.

    A request to a preview costs about 30 microseconds; counting in the library would add 10 %.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, Histogram] = {}
        self._refused: dict[str, int] = {}

    def add(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count a response.

        Args:
            route: Name of the route. Never the path, because the number of names is bounded.
            method: HTTP method; an unknown one counts as ``OTHER``.
            status: HTTP status; an unregistered one counts as the first of its class.
            elapsed_s: Seconds to the head of the response.
        """
        key = (route, method, status)
        if key not in self._counts:
            # A preview may respond with any number.
            told = status if status in _STATUSES else status // 100 * 100
            key = (route, method if method in _METHODS else "OTHER", told)
        self._counts[key] = self._counts.get(key, 0) + 1
        seconds = self._seconds.get(route)
        if seconds is None:
            seconds = self._seconds[route] = Histogram(_BOUNDS_S)
        seconds.add(elapsed_s)

    def add_error(self, code: str) -> None:
        """Count an error response of the service by its code."""
        self._refused[code] = self._refused.get(code, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """See ``Collector``."""
        requests = CounterMetricFamily(
            "preview_http_requests", "Answered requests.", labels=["route", "method", "status"]
        )
        for (route, method, status), count in self._counts.items():
            requests.add_metric([route, method, str(status)], count)
        yield requests
        seconds = HistogramMetricFamily(
            "preview_http_request_seconds", "Time to the head of the response.", labels=["route"]
        )
        for route, found in self._seconds.items():
            add_histogram(seconds, [route], found)
        yield seconds
        errors = CounterMetricFamily("preview_http_errors", "Errors of the service by code.", labels=["code"])
        for code, count in self._refused.items():
            errors.add_metric([code], count)
        yield errors
