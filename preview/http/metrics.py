"""Counters for Prometheus, in a registry of this app's own."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["METRICS_TYPE", "Metrics"]

METRICS_TYPE: Final = CONTENT_TYPE_LATEST

# The promise is 200 ms for our own answers; a stop may take seconds, a launch with ``Prefer: wait`` longer.
_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)
_STATUSES = frozenset(map(int, HTTPStatus))


class Metrics:
    """What is counted.

    Args:
        streams: How many log streams are open now.
        direct_streams: How many of them write to their sockets themselves.
        previews: How many previews are live now.
    """

    def __init__(
        self, *, streams: Callable[[], float], direct_streams: Callable[[], float], previews: Callable[[], float]
    ) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "preview_http_requests_total", "Answered requests.", ["route", "method", "status"], registry=self.registry
        )
        # Looking a label up costs more than counting.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._seconds = Histogram(
            "preview_http_request_seconds",
            "Time to the head of the answer.",
            ["route"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        open_streams = Gauge("preview_log_streams", "Open log streams.", ["path"], registry=self.registry)
        open_streams.labels("direct").set_function(direct_streams)
        open_streams.labels("ordinary").set_function(lambda: streams() - direct_streams())
        Gauge("preview_previews", "Live previews.", registry=self.registry).set_function(previews)

    def answered(self, route: str, method: str, status: int, elapsed_s: float) -> None:
        """Count an answer.

        Args:
            route: Name of the route, never the path: its variety is bounded.
            method: HTTP method; anything unknown counts as ``OTHER``.
            status: HTTP status; one that is not registered counts as the first of its class.
            elapsed_s: Seconds to the head of the answer.
        """
        known = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "OTHER"
        if status not in _STATUSES:
            # A preview may answer with any number.
            status = status // 100 * 100
        key = (route, known, status)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._requests.labels(route, known, str(status)), self._seconds.labels(route)
        found[0].inc()
        found[1].observe(elapsed_s)

    def render(self) -> bytes:
        """The text exposition."""
        return generate_latest(self.registry)
